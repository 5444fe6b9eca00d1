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
SEEN_AS_IS = 960, 672  # width and height that the engine does not change
FILES = [(960, 672, 35), (1280, 720, 25), (1920, 1080, 17), (1024, 768, 13), (1440, 900, 6), (800, 800, 4)]
RANDOM_PLACES = 0.4
EM_SIZES = (24, 27, 30, 34, 38, 44, 52, 64)


def target_size(w, h, budget=280):
    """Width and height that the engine resizes to."""
    f = math.sqrt(budget * PATCH * PATCH / (w * h))
    return int(f * w / PATCH) * PATCH, int(f * h / PATCH) * PATCH


def arranged(i, atlas):
    """(Board, width, height, corners) of board i, and the generator that its looks are drawn with."""
    r = random.Random(f"held-out {i}")
    w, h, _ = r.choices(FILES, [f[2] for f in FILES])[0]
    unit = w / target_size(w, h)[0]
    sizes = [round(s * unit) for s in EM_SIZES]
    while True:
        corners, scale = looks.quad(r, w, h, 1.0)
        least = LEAST * unit / scale - 0.5
        got = boards.board(r, atlas, w, h, (3, 10), least, RANDOM_PLACES, sizes=sizes, held=True, unit=unit)
        if got:
            return (got, w, h, corners), r


def make(i, atlas):
    """(drawing, palette, camera, facts) of board i."""
    (got, w, h, corners), r = arranged(i, atlas)
    facts = dict(width=w, height=h, order=got.order, rows=got.table, random=got.random, tilted=corners is not None)
    return got.canvas.bytes(), looks.palette(r), looks.camera(r, w, h, corners, 1.0), facts


def save(i, atlas, folder):
    """Write board i as a PNG, or as a JPEG where its camera makes one; returns its record."""
    drawing, pal, cam, facts = make(i, atlas)
    quality = int(cam[looks.CAMERA.index("jpeg")])
    cam[looks.CAMERA.index("jpeg")] = 0
    picture = Image.fromarray(looks.picture(drawing, pal, cam, np.random.default_rng(i)))
    name = f"{i:03}." + ("jpg" if quality else "png")
    picture.save(os.path.join(folder, name), **(dict(quality=quality) if quality else dict(compress_level=1)))
    return dict(facts, file=name)


def photographed(i, r, canvas, corners, folder):
    """Write picture i, 960x672, with its looks; returns what every record has."""
    look = looks.palette(r), looks.camera(r, *SEEN_AS_IS, corners, 1.0)
    picture = looks.picture(canvas.bytes(), *look, np.random.default_rng(i))
    Image.fromarray(picture).save(os.path.join(folder, f"{i:03}.png"), compress_level=1)
    return dict(zip(("width", "height"), SEEN_AS_IS), tilted=corners is not None, file=f"{i:03}.png")


def save_lines(i, atlas, folder):
    """Write picture i of the text lines: one to four lines in held-out families."""
    r, got = random.Random(f"held-out text {i}"), None
    while not got:
        corners, scale = looks.quad(r, *SEEN_AS_IS, 1.0)
        got = boards.lines(r, atlas, *SEEN_AS_IS, 4, LEAST / scale, 180)
    canvas, text = got
    return dict(photographed(i, r, canvas, corners, folder), rows=[[s] for s in text])


def save_em(px):
    """A `draw` of write(): boards whose rows all have an em size of px where the model sees them."""

    def draw(i, atlas, folder):
        r, got = random.Random(f"size {px} {i}"), None
        while not got:
            corners, scale = looks.quad(r, *SEEN_AS_IS, 1.0)
            sizes = (round(px / scale),)
            got = boards.board(r, atlas, *SEEN_AS_IS, (3, 10), 1, RANDOM_PLACES, sizes=sizes, held=True)
        facts = dict(order=got.order, rows=got.table, random=got.random)
        return dict(photographed(i, r, got.canvas, corners, folder), **facts)

    return draw


def write(folder, draw=save, count=COUNT):
    os.makedirs(folder, exist_ok=True)
    atlas = glyphs.Atlas(glyphs.load_faces(True))
    records = [draw(i, atlas, folder) for i in range(count)]
    with open(os.path.join(folder, "boards.json"), "w") as f:
        json.dump(records, f, ensure_ascii=False, indent=0)
    return records
