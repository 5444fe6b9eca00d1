"""Glyph atlas and canvas: the flat drawings that boards.py composes.

A drawing is one byte a pixel: bits 0-3 are the ink's coverage (0 .. 15), bits 4-5 say which of four ink
colours, bits 6-7 which of four grounds. looks.py gives the colours. Composing cached glyphs is about nine
times as fast as drawing text with Pillow. All sizes are pixels of the drawing; "px" of a text is its em size.
"""
import json, os, unicodedata
import numpy as np
from PIL import Image, ImageDraw, ImageFont
import corpus

HERE = os.path.dirname(os.path.abspath(__file__))
HARD_FACES = os.path.join(HERE, "hard_faces.txt")  # find_hard_faces.py writes it
CHARSET = [chr(c) for c in range(33, 127)] + list(corpus.ACCENTS) + ["–"]
CHAR_INDEX = {c: i + 1 for i, c in enumerate(CHARSET)}  # 0: no character here (labels of the auxiliary loss)


def load_faces(held, data=os.path.join(HERE, "data")):
    with open(os.path.join(data, "faces.json")) as f:
        faces = [face for face in json.load(f) if face["held"] == held]
    return [dict(f, path=os.path.join(data, "fonts", f["file"])) for f in faces]


def hard_faces(path=HARD_FACES, most=4):
    """{file: how much oftener training picks it}: from 1 for faces that were read without an error to `most` for those of
    which a quarter of the characters or more was read wrongly (find_hard_faces.py).
    """
    with open(path) as f:
        wrong = dict((file, float(share)) for share, file in (line.split() for line in f if not line.startswith("#")))
    return {file: 1 + (most - 1) * min(1, 4 * share) for file, share in wrong.items()}


class Glyphs(dict):
    """character -> (coverage cropped to its ink, left, top, advance) of one face at one size, on first use.

    smooth: drawn at twice the size and averaged, as text looks after a picture was reduced; otherwise hinted.
    """

    def __init__(self, path, size, smooth):
        super().__init__()
        self.k = 2 if smooth else 1
        self.font = ImageFont.truetype(path, size * self.k, layout_engine=ImageFont.Layout.BASIC)
        up, down = self.font.getmetrics()
        self.pad = size * self.k // 2 * 2 + 2
        self.height = (min(up + down, 2 * size * self.k) + self.k - 1) // self.k
        self.over = size * self.k // 8 * 2  # some faces draw accents above their own ascent

    def __missing__(self, c):
        k, pad = self.k, self.pad
        w = max(1, round(self.font.getlength(c)))
        h = self.height * k + 2 * self.over
        im = Image.new("L", (w + 2 * pad, h))
        ImageDraw.Draw(im).text((pad, self.over), c, font=self.font, fill=255)
        a = np.asarray(im)
        if k == 2:
            a = a[: h // 2 * 2, : a.shape[1] // 2 * 2].astype(np.uint16)
            a = ((a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2] + 2) >> 2).astype(np.uint8)
        a = (a.astype(np.uint16) * 15 + 127) // 255
        ys, xs = np.nonzero(a.any(1))[0], np.nonzero(a.any(0))[0]
        advance = max(1, round(w / k))
        if len(ys) == 0:
            g = (None, 0, 0, advance)
        else:
            a = a[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].astype(np.uint8)
            g = (a, int(xs[0]) - pad // k, int(ys[0]) - self.over // k, advance)
        self[c] = g
        return g

    def width(self, s, extra=0):
        return sum(self[c][3] + extra for c in s)


class Atlas:
    """oftener: {file: how much oftener a face is picked}."""

    def __init__(self, faces, oftener=None):
        self.cache, self.faces, self.weights = {}, [], []
        cuts = {}
        for f in faces:
            cuts[f["family"]] = cuts.get(f["family"], 0) + 1
        for f in faces:
            g = self.get(f, 48, False)
            f["upper_only"] = f["upper_only"] or all(alike(g[a][0], g[b][0]) for a, b in ("Aa", "Rr", "Ee"))
            self.faces.append(f)
            # a family counts by the root of its faces, so that 32 cuts of one design do not crowd out the
            # rest
            weight = 0.1 if "DSEG" in f["family"] else (oftener or {}).get(f["file"], 1)
            self.weights.append(weight / cuts[f["family"]] ** 0.5)

    def get(self, face, size, smooth):
        key = (face["path"], size, smooth)
        if key not in self.cache:
            self.cache[key] = Glyphs(*key)
        return self.cache[key]

    def pick(self, r):
        return r.choices(self.faces, self.weights)[0]


def alike(a, b):
    return a is not None and a.shape == b.shape and (a == b).all()


def plain(s, missing):
    """s with the letters that a face lacks replaced by unaccented ones, or None if that cannot be."""
    if any(c in missing for c in s):
        s = "".join(c if c not in missing else unicodedata.normalize("NFD", c)[0] for c in s)
    return None if any(c in missing for c in s) else s


class Canvas:
    def __init__(self, width, height):
        self.w, self.h = width, height
        self.ink = np.zeros((height, width), np.uint8)
        self.part = np.zeros((height, width), np.uint8)  # (ground << 6) | (colour << 4)
        self.marks = []  # (x, y, class) of the middle of every character

    def box(self, x0, y0, x1, y1):
        return self.part[max(0, int(y0)) : max(0, int(y1)), max(0, int(x0)) : max(0, int(x1))]

    def ground(self, x0, y0, x1, y1, g):
        p = self.box(x0, y0, x1, y1)
        p &= 0x3F
        p |= g << 6

    def colour(self, x0, y0, x1, y1, c):
        p = self.box(x0, y0, x1, y1)
        p &= 0xCF
        p |= c << 4

    def both(self, x0, y0, x1, y1, n):
        """Ground and ink colour n, as on bars and badges."""
        self.ground(x0, y0, x1, y1, n)
        self.colour(x0, y0, x1, y1, n)

    def text(self, glyphs, x, y, s, extra=0, strength=15, cell=0):
        """Write s with its line's top left at (x, y); False if ink would leave the canvas.

        extra: space between letters; strength: coverage of full ink; cell: width of a fixed cell a letter.
        """
        x, y = int(x), int(y)
        for c in s:
            a, left, top, advance = glyphs[c]
            if a is None and c in CHAR_INDEX:  # DSEG14 maps "!" to a blank
                return False
            if a is not None:
                x0, y0 = x + left + (max(0, cell - advance) // 2 if cell else 0), y + top
                h, w = a.shape
                if x0 < 0 or y0 < 0 or x0 + w > self.w or y0 + h > self.h:
                    return False
                if strength < 15:
                    a = a * strength // 15
                dst = self.ink[y0 : y0 + h, x0 : x0 + w]
                np.maximum(dst, a, out=dst)
                if c in CHAR_INDEX:
                    self.marks.append((x0 + w / 2, y0 + h / 2, CHAR_INDEX[c]))
            x += (cell or advance) + extra
        return True

    def bytes(self, out=None):
        return np.bitwise_or(self.ink, self.part, out=out)
