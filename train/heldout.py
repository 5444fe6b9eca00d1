"""The 200 boards of the evaluation: held-out font families, text of 24 px and more where the model sees it,
looks as in training.

Board i is a function of i alone. Sizes are those of the files; the engine brings every picture to at most 280
patches of 48x48, and "24 px" counts after that.
"""
import json, math, os, random
import numpy as np
from PIL import Image
import boards, glyphs, looks
from model import PATCH

COUNT, LEAST = 200, 24
FILES = [(960, 672, 35), (1280, 720, 25), (1920, 1080, 17), (1024, 768, 13), (1440, 900, 6), (800, 800, 4)]
RANDOM_PLACES = 0.4
EM_SIZES = (24, 27, 30, 34, 38, 44, 52, 64)


def target_size(w, h, budget=280):
    """Width and height that the engine resizes to."""
    f = math.sqrt(budget * PATCH * PATCH / (w * h))
    return int(f * w / PATCH) * PATCH, int(f * h / PATCH) * PATCH


def make(i, atlas):
    """(drawing, palette, camera, facts) of board i."""
    r = random.Random(f"held-out {i}")
    w, h, _ = r.choices(FILES, [f[2] for f in FILES])[0]
    unit = w / target_size(w, h)[0]
    sizes = [round(s * unit) for s in EM_SIZES]
    while True:
        corners, scale = looks.quad(r, w, h, 1.0)
        got = boards.board(
            r,
            atlas,
            w,
            h,
            (3, 10),
            LEAST * unit / scale - 0.5,
            RANDOM_PLACES,
            sizes=sizes,
            held=True,
            unit=unit,
        )
        if got:
            break
    canvas, order, rows, flags = got.canvas, got.order, got.table, got.random
    facts = dict(width=w, height=h, order=order, rows=rows, random=flags, tilted=corners is not None)
    return canvas.bytes(), looks.palette(r), looks.camera(r, w, h, corners, 1.0), facts


def save(i, atlas, folder):
    """Write board i as a PNG, or as a JPEG where its camera makes one; returns its record."""
    drawing, pal, cam, facts = make(i, atlas)
    quality = int(cam[looks.CAMERA.index("jpeg")])
    cam[looks.CAMERA.index("jpeg")] = 0
    picture = Image.fromarray(looks.picture(drawing, pal, cam, np.random.default_rng(i)))
    name = f"{i:03}." + ("jpg" if quality else "png")
    picture.save(os.path.join(folder, name), **(dict(quality=quality) if quality else dict(compress_level=1)))
    return dict(facts, file=name)


def save_lines(i, atlas, folder):
    """Write picture i of the text lines: one to four lines in held-out families, 960x672."""
    r, w, h = random.Random(f"held-out text {i}"), 960, 672
    while True:
        corners, scale = looks.quad(r, w, h, 1.0)
        got = boards.lines(r, atlas, w, h, 4, LEAST / scale, 180)
        if got:
            break
    canvas, text = got
    look = looks.palette(r), looks.camera(r, w, h, corners, 1.0)
    Image.fromarray(looks.picture(canvas.bytes(), *look, np.random.default_rng(i))).save(
        os.path.join(folder, f"{i:03}.png"), compress_level=1
    )
    return dict(width=w, height=h, rows=[[s] for s in text], tilted=corners is not None, file=f"{i:03}.png")


def write(folder, draw=save, count=COUNT):
    os.makedirs(folder, exist_ok=True)
    atlas = glyphs.Atlas(glyphs.load_faces(True))
    records = [draw(i, atlas, folder) for i in range(count)]
    with open(os.path.join(folder, "boards.json"), "w") as f:
        json.dump(records, f, ensure_ascii=False, indent=0)
    return records
