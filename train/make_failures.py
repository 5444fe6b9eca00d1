#!/usr/bin/env python3
"""Draw models/mini/failures/: of each skill the first, the middle and the last answer that was wrong.

usage: make_failures.py BOARDS.json SKILLS.json [--boards DIR] [--out DIR]
The two files are those of `evaluate --json` and `evaluate --skill all --json`; the pictures and sounds that they name
have to be there. Of boards and lines the first wrong row is shown. Needs train/data (see prepare).
"""
import argparse, difflib, io, json, os, wave
import numpy as np
from PIL import Image, ImageDraw, ImageFont
import glyphs, heldout, heldout_skills, looks
from skill_scores import HEARD

HERE = os.path.dirname(os.path.abspath(__file__))
FONT = ("DejaVu Sans Mono", "Book")
WIDTH, MARGIN, LINE, PX = 840, 10, 21, 15
BESIDE = 360, 252  # the most of a picture that has its words beside it
STRIP = 150  # the most height of a row over its words
MOST_BYTES = 30_000
INK, GREY, RED = (30, 30, 30), (120, 120, 120), (205, 20, 20)


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("board_answers", metavar="BOARDS.json")
    a.add_argument("skill_answers", metavar="SKILLS.json")
    a.add_argument("--boards", default=os.path.join(HERE, "out", "heldout"), help="folder of the boards' pictures")
    a.add_argument("--out", default=os.path.join(HERE, "..", "models", "mini", "failures"))
    return a.parse_args()


def three(failures):
    """The first, the middle and the last."""
    n = len(failures)
    return [failures[i] for i in sorted({0, (n - 1) // 2, n - 1})] if failures else []


def first_difference(want, got):
    """(index, wanted line, line read) of the first line that is wrong."""
    got = got + [""] * (len(want) - len(got))
    return next((i, w, g) for i, (w, g) in enumerate(zip(want, got)) if w != g)


def band(picture, canvas, corners, marks):
    """The part of a picture that holds some of its drawing's characters."""
    w, h = picture.size
    x, y = np.array([canvas.marks[m][:2] for m in marks]).T
    if corners is not None:
        x, y = looks.project(looks.homography([(0, 0), (w, 0), (w, h), (0, h)], corners), x, y)
    edge = 0.035 * w
    box = x.min() - 1.5 * edge, y.min() - edge, x.max() + 1.5 * edge, y.max() + edge
    return picture.crop((max(0, int(box[0])), max(0, int(box[1])), min(w, int(box[2])), min(h, int(box[3]))))


def board(record, answer, folder, atlas):
    """A board's first wrong row: (title, picture, wanted, got)."""
    (got, w, h, corners), _ = heldout.arranged(int(record["file"][:3]), atlas)
    assert got.table == record["rows"], f"{record['file']}: drawn from other data than train/data"
    i, want, read = first_difference([" | ".join(r) for r in record["rows"]], answer.split("\n"))
    marks = [m for m in got.marks([(i, c) for c in range(len(got.order))]) if m >= 0]
    picture = Image.open(os.path.join(folder, record["file"])).convert("RGB")
    return f"{record['file']}  Read the board.", band(picture, got.canvas, corners, marks), want, read


def again(skill, index, record, maker):
    """The Example that a record was written from."""
    e = heldout_skills.SKILLS[skill][2](maker.tasks(f"{skill} {index}"))
    assert e.answer == record["answer"], f"{skill} {index}: drawn from other data than train/data"
    return e


def line(skill, index, record, maker):
    """The first wrong line of a picture of lines."""
    e = again(skill, index, record, maker)
    lines = e.answer.split("\n")
    i, want, read = first_difference(lines, record["got"].split("\n"))
    ink = [len(s.replace(" ", "")) for s in lines]
    marks = range(sum(ink[:i]), sum(ink[: i + 1]))
    picture = band(Image.open(record["image"]).convert("RGB"), e.drawing, e.corners, marks)
    return title(record), picture, want, read


def asked(skill, index, record, maker):
    """What was asked aloud about a board, too."""
    e = again(skill, index, record, maker)
    return f'{title(record)}  ("{e.said}")', shown(record), record["answer"], record["got"]


def title(record):
    return f"{os.path.basename(record.get('image', record.get('audio', '')))}  {record['prompt']}"


def spectrogram(path, height=110, width=BESIDE[0]):
    """0 to 8 kHz upwards, 80 dB from white to black, 25 ms every 5 ms."""
    with wave.open(path) as f:
        rate, x = f.getframerate(), np.frombuffer(f.readframes(f.getnframes()), "<i2") / 32768
    n = rate // 40
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, n), n)[:: rate // 200] * np.hanning(n)
    power = np.abs(np.fft.rfft(frames))[:, : int(8000 / rate * n) + 1] ** 2
    db = 10 * np.log10(power.T[::-1] + 1e-12)
    grey = np.clip((db - db.max()) / -80, 0, 1) * 255
    return Image.fromarray(grey.astype(np.uint8)).resize((width, height), Image.BICUBIC).convert("RGB")


def shown(record):
    """The picture, the sound, or both."""
    parts = []
    if "image" in record:
        parts.append(Image.open(record["image"]).convert("RGB"))
        parts[0].thumbnail(BESIDE, Image.LANCZOS)
    if "audio" in record:
        parts.append(spectrogram(record["audio"], 44 if parts else 90))
    out = Image.new("RGB", (max(p.width for p in parts), sum(p.height for p in parts) + 4 * (len(parts) - 1)), "white")
    y = 0
    for p in parts:
        out.paste(p, (0, y))
        y += p.height + 4
    return out


def words(want, got, how, room):
    """Rows of [(text, colour)], at most `room` characters long; what differs is red: characters read, else words."""
    rows, units = [], list if how == "read" else (lambda s: [word + " " for word in s.split()])
    for label, text, other in (("wanted", want, got), (how, got, want)):
        same = []
        a, b = units(text), units(other)
        for op, start, end, _, _ in difflib.SequenceMatcher(None, a, b, False).get_opcodes():
            same += [op == "equal"] * sum(len(unit) for unit in a[start:end])
        same.append(True)  # split() puts a space behind the last word
        row, left = [(f"{label:7}", GREY)], room - 7
        for word, start in split(text):
            if word == "\n" or len(word.rstrip()) > left:
                rows.append(row)
                row, left = [(" " * 7, GREY)], room - 7
            if word != "\n":
                row += [(c, INK if same[start + k] else RED) for k, c in enumerate(word)]
                left -= len(word)
        rows.append(row)
    return rows


def split(text):
    """(word with the spaces behind it, or a line's end; where it begins)."""
    at = 0
    for k, s in enumerate(text.split("\n")):
        if k:
            yield "\n", at - 1
        for word in s.split(" "):
            yield word + " ", at
            at += len(word) + 1


# skills whose records alone do not say what to show
DRAWN_AGAIN = {"lines": line, "lines seen": line, "spoken": asked}


def montage(items, how, font):
    """One picture of [(title, picture, wanted, got)]; how: "read", "heard" or "said"."""
    parts = []
    for name, picture, want, got in items:
        beside = picture.width <= BESIDE[0]
        if not beside:
            picture.thumbnail((WIDTH - 2 * MARGIN, STRIP), Image.LANCZOS)
        x = picture.width + 2 * MARGIN if beside else MARGIN
        rows = words(want, got, how, int((WIDTH - x - MARGIN) / font.getlength("0")))
        tall = len(rows) * LINE
        h = LINE + (max(picture.height, tall) if beside else picture.height + 6 + tall) + MARGIN
        part = Image.new("RGB", (WIDTH, h), "white")
        draw, top = ImageDraw.Draw(part), LINE if beside else LINE + picture.height + 6
        draw.text((MARGIN, 0), name, GREY, font)
        part.paste(picture, (MARGIN, LINE))
        for k, row in enumerate(rows):
            at = x
            for text, colour in row:
                draw.text((at, top + k * LINE), text, colour, font)
                at += font.getlength(text)
        parts.append(part)
    out, y = Image.new("RGB", (WIDTH, sum(p.height for p in parts) + MARGIN), "white"), MARGIN
    for p in parts:
        out.paste(p, (0, y))
        y += p.height
    return out


def save(image, path):
    """As WebP, at the best quality that is small enough."""
    for quality in range(85, 10, -5):
        data = io.BytesIO()
        image.save(data, "WEBP", quality=quality, method=6)
        if data.tell() <= MOST_BYTES:
            break
    with open(path, "wb") as f:
        f.write(data.getvalue())
    print(f"{path}: {image.width}x{image.height}, quality {quality}, {data.tell()} bytes")


def main():
    a = arguments()
    with open(os.path.join(HERE, "data", "faces.json")) as f:
        file = next(x["file"] for x in json.load(f) if (x["family"], x["style"]) == FONT)
    font = ImageFont.truetype(os.path.join(HERE, "data", "fonts", file), PX)
    os.makedirs(a.out, exist_ok=True)
    with open(a.board_answers) as f:
        wrong = [r for r in json.load(f) if "\n".join(" | ".join(x) for x in r["rows"]) != r["answer"]]
    atlas = glyphs.Atlas(glyphs.load_faces(True))
    items = [board(r, r["answer"], a.boards, atlas) for r in three(wrong)]
    save(montage(items, "read", font), os.path.join(a.out, "boards.webp"))
    with open(a.skill_answers) as f:
        answers = json.load(f)
    for skill, records in answers.items():
        wrong = three([(i, r) for i, r in enumerate(records) if r["answer"] != r["got"]])
        if skill in DRAWN_AGAIN:
            maker = heldout_skills.Maker(heldout_skills.SKILLS[skill][1])
            items = [DRAWN_AGAIN[skill](skill, i, r, maker) for i, r in wrong]
        else:
            items = [(title(r), shown(r), r["answer"], r["got"]) for _, r in wrong]
        how = "heard" if skill in HEARD else "read" if skill.startswith("lines") else "said"
        if items:
            save(montage(items, how, font), os.path.join(a.out, skill.replace(" ", "-") + ".webp"))


if __name__ == "__main__":
    main()
