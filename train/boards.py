"""Departures boards and lines of text as drawings (glyphs.py), with what they say.

A draw may fail (text too wide, ink over the edge): then the functions return None and the caller draws again.
"""
import numpy as np
import corpus, tokenizer
from glyphs import CHAR_INDEX, Canvas, plain

SMALL = 27
SIZES = (18, 20, 22, 24, 27, 30, 34, 38, 44, 52, 64, 80, 100)
ORDERS = [("time", "flight", "dest", "gate", "status")] * 4 + [
    ("time", "dest", "flight", "gate", "status"),
    ("flight", "dest", "time", "gate", "status"),
    ("dest", "time", "flight", "gate", "status"),
    ("flight", "time", "dest", "gate", "status"),
    ("time", "flight", "dest", "status", "gate"),
    ("dest", "flight", "time", "gate", "status"),
    ("gate", "time", "flight", "dest", "status"),
    ("time", "dest", "gate", "status", "flight"),
]
BOARD_QUESTIONS = ["Read the board."] * 7 + [
    "What does the board say?",
    "List the departures.",
    "Which flights are on the board?",
]
TEXT_QUESTIONS = ["Read the text."] * 3 + ["What does it say?"]
LEADING = 1.04  # least height of a row, in line heights


def answer(table):
    return "\n".join(" | ".join(row) for row in table)


def shown(text, first):
    """Which mark of the canvas each character of a drawn text is, -1 for spaces."""
    out, at = [], first
    for c in text:
        out.append(at if c in CHAR_INDEX else -1)
        at += c in CHAR_INDEX
    return out


def joined(parts, between):
    """The marks of texts joined by `between` characters that are not drawn."""
    out = []
    for i, part in enumerate(parts):
        out += [-1] * (between if i else 0) + part
    return out


def tokens(text):
    return tokenizer.encode(text) + [tokenizer.END]


class Failed(Exception):
    """This draw does not fit."""


class Board:
    """One board: what it says, its layout, its drawing. `unit` scales margins with the picture."""

    def __init__(self, r, atlas, width, height, unit):
        self.r, self.atlas, self.w, self.h, self.unit = r, atlas, width, height, unit
        self.canvas = Canvas(width, height)
        self.first = {}  # (row, column): index of its first character among the canvas's marks

    def write(self, rows, hard, held):
        """Choose columns, face and contents."""
        r = self.r
        self.n = r.randrange(rows[0], rows[1] + 1)
        self.face = self.atlas.pick(r)
        order = list(r.choice(ORDERS))
        if r.random() < 0.12:
            r.shuffle(order)
        k = r.random()
        drop = "gate" if k < 0.16 else "flight" if k < 0.26 else "status" if k < 0.32 else None
        self.order = [c for c in order if c != drop]
        self.upper = self.face["upper_only"] or r.random() < 0.4
        self.table, self.random = [], []
        for row in corpus.board_rows(r, self.n, hard, held):
            case = (lambda s: s.upper()) if self.upper else (lambda s: s)
            cells = [plain(case(row[c]), self.face["missing"]) for c in self.order]
            if not all(cells):
                raise Failed
            self.table.append(cells)
            self.random.append(row["random"])

    def widths(self, glyphs, cell):
        used = (lambda s: (cell + 2) * len(s)) if self.flaps else (lambda s: glyphs.width(s, self.extra))
        return [max(used(row[i]) for row in self.table) for i in range(len(self.order))]

    def tall(self, size):
        """Height of everything at the closest leading."""
        parts = (
            self.n * LEADING
            + (self.title_size * 1.25 if self.title else 0)
            + (self.head_size * 1.3 if self.head else 0)
            + (0.9 if self.note else 0)
        )
        return size * self.em * parts + 12 * self.unit

    def choose_size(self, sizes, least, small):
        """Choose the look's measures and the largest or any size that fits, or a small one."""
        r, unit = self.r, self.unit
        self.flaps = r.random() < 0.08 and not self.face["upper_only"]  # one cell a letter
        self.smooth, self.extra = r.random() < 0.5, r.choice((1, 2, 3)) if r.random() < 0.2 else 0
        g = self.atlas.get(self.face, 48, False)
        wide = self.widths(g, max(g[c][3] for c in "MW0"))
        self.title = corpus.fill(r, r.choice(corpus.TITLES)) if r.random() < 0.65 else ""
        self.head, self.note = r.random() < 0.55, r.random() < 0.12
        self.spread = r.uniform(1.06, 1.9)
        self.title_size, self.head_size = r.uniform(1.0, 2.0), r.uniform(0.5, 0.9)
        self.em = g.height / 48
        need = sum(wide) + 48 * 0.55 * (len(self.order) - 1)
        room_x, room_y = (self.w - 24 * unit) * 0.98, self.h - 8 * unit
        fitting = [s for s in sizes if s >= least and need * s / 48 <= room_x and self.tall(s) <= room_y]
        if not fitting:
            raise Failed
        few = [s for s in fitting if s <= SMALL] if small and r.random() < small else []
        self.size = r.choice(few) if few else max(fitting) if r.random() < 0.4 else r.choice(fitting)

    def lay_out(self):
        """Columns' left edges, row pitch, top."""
        r, unit, size = self.r, self.unit, self.size
        self.glyphs = self.atlas.get(self.face, size, self.smooth)
        self.line = self.glyphs.height
        self.cell = max(self.glyphs[c][3] for c in "MW0") if self.flaps else 0
        self.wide = self.widths(self.glyphs, self.cell)
        self.gap = max(9 * unit, size * 0.5)
        columns = len(self.order)
        slack = self.w - sum(self.wide) - 16 * unit - self.gap * (columns - 1)
        if slack < 0:
            raise Failed
        rng = np.random.default_rng(r.randrange(1 << 30))
        shares = rng.dirichlet([r.choice((1.5, 4, 20))] * (columns + 1)) * slack
        lead = self.line * LEADING
        room = self.h - 8 * unit - self.tall(size) + self.n * lead
        self.pitch = min(room / self.n, self.line * self.spread)
        if self.pitch < lead - 1:
            raise Failed
        total = self.tall(size) - self.n * self.line * LEADING + self.n * self.pitch
        self.y = 4 * unit + r.random() * max(0, self.h - 8 * unit - total) * r.choice((0, 0.5, 1))
        self.x = [8 * unit + shares[0]]
        for i in range(1, columns):
            self.x.append(self.x[-1] + self.wide[i - 1] + self.gap + shares[i])

    def text(self, *a, **k):
        if not self.canvas.text(*a, **k):
            raise Failed

    def marks(self, cells, between=2):
        """The marks of the fields [(row, column)], joined as questions.py joins them."""
        return joined([shown(self.table[j][i], self.first[j, i]) for j, i in cells], between)

    def all_marks(self):
        """The marks of the whole table, as `answer` writes it."""
        columns = range(len(self.order))
        return joined([self.marks([(j, i) for i in columns], len(" | ")) for j in range(self.n)], 1)

    def draw_title(self):
        """Title (sometimes with a clock, on a bar, or in colour); left out where it does not fit."""
        r, c, left, y = self.r, self.canvas, self.x[0], self.y
        upper = self.upper and r.random() < 0.7
        face = self.face if r.random() < 0.6 else self.atlas.pick(r)
        px = max(14, round(self.size * self.title_size))
        if self.unit == 1:  # training: keep the atlas small
            px = max((s for s in SIZES if s <= px), default=px)
        g = self.atlas.get(face, px, True)
        s = plain(self.title.upper() if upper or face["upper_only"] else self.title, face["missing"])
        room = self.size * self.title_size * self.em * 1.25
        if s is None or g.width(s) > c.w - 2 * left or g.height > room:
            return
        bottom = y + g.height + 4 * self.unit
        bar = r.random()
        if bar < 0.35:
            c.ground(0, 0, c.w, bottom, 2)
            c.colour(0, 0, c.w, bottom, 3)
        elif bar < 0.55:
            c.colour(0, 0, c.w, bottom, r.choice((1, 2)))
        x = left if r.random() < 0.7 else (c.w - g.width(s)) / 2
        self.text(g, x, y + 1, s)
        now = corpus.clock(r)
        if r.random() < 0.35 and x + g.width(s) + g.width(now) + 3 * self.size < c.w - left:
            self.text(g, c.w - left - g.width(now), y + 1, now)
        self.y = bottom + 2 * self.unit

    def draw_head(self):
        r, c, y = self.r, self.canvas, self.y
        g = self.atlas.get(self.face, max(11, round(self.size * self.head_size)), True)
        strength, colour, bar = r.choice((15, 15, 10, 7)), r.choice((0, 0, 1, 2)), r.random() < 0.25
        bottom = y + g.height * 1.08
        if bar:
            c.both(0, y, self.w, bottom, 3)
        else:
            c.colour(0, y, self.w, bottom, colour)
        loud = self.upper or r.random() < 0.3
        for i, column in enumerate(self.order):
            name = r.choice(corpus.HEADS[column])
            s = plain(name.upper() if loud else name, self.face["missing"])
            room = (self.x[i + 1] if i + 1 < len(self.x) else self.w) - self.x[i] - 4
            if s and g.width(s) <= room:
                self.text(g, self.x[i], y, s, 0, 15 if bar else strength)
        self.y = bottom + 2

    def choose_dress(self):
        r = self.r
        self.zebra, self.rule = r.random() < 0.35, r.random() < 0.2
        self.states = {s.split()[0]: r.choice((0, 1, 2)) for s in corpus.STATES} if r.random() < 0.5 else {}
        self.accents = {c: r.choice((1, 2)) for c in self.order if r.random() < 0.09}
        sides = ("left", "left", "left", "right", "middle")
        self.sides = {c: r.choice(sides) if c in ("gate", "time") else "left" for c in self.order}
        self.badge, self.logo = r.random() < 0.1, r.random() < 0.08
        self.strong = r.randrange(self.n) if r.random() < 0.06 else -1

    def draw_row(self, j):
        c, y = self.canvas, self.y
        bottom = y + self.pitch
        if self.zebra and j % 2 and not self.flaps:
            c.ground(0, y, self.w, bottom, 1)
        if self.rule:
            c.ink[min(self.h - 1, int(bottom) - 1)] = self.r.choice((3, 6))
        if j == self.strong:
            c.both(0, y, self.w, bottom, 3)
        for i, s in enumerate(self.table[j]):
            self.draw_cell(j, i, s)
        self.y = bottom

    def draw_cell(self, j, i, s):
        strong = j == self.strong
        c, column, line, left, wide = self.canvas, self.order[i], self.line, self.x[i], self.wide[i]
        top = self.y + (self.pitch - line) / 2
        x = left
        if self.flaps:
            for q in range(round(wide / (self.cell + 2))):
                x0 = int(left) + q * (self.cell + 2)
                c.ground(x0, top - 1, x0 + self.cell, top + line + 1, 1)
        else:
            used = self.glyphs.width(s, self.extra)
            x += {"left": 0, "right": wide - used, "middle": (wide - used) // 2}[self.sides[column]]
        if not strong:
            box = (left - 3, self.y, left + wide + self.gap / 2, self.y + self.pitch)
            if column == "status" and self.states:
                c.colour(*box, self.states.get(s.split()[0].capitalize(), 0))
            elif column in self.accents:
                c.colour(*box, self.accents[column])
            if column == "gate" and self.badge and not self.flaps:
                c.both(x - self.gap * 0.3, top - line * 0.05, x + used + self.gap * 0.3, top + line * 1.03, 3)
        self.first[j, i] = len(c.marks)
        self.text(self.glyphs, x, top, s, 2 if self.flaps else self.extra, cell=self.cell)
        if self.flaps:  # the slit between the halves
            middle = int(top + line * 0.52)
            c.ink[middle, max(0, int(left)) : int(left + wide)] = 0
            c.ground(left, middle, left + wide, middle + 1, 0)
        free = self.x[i - 1] + self.wide[i - 1] if i else 0
        if self.logo and column == "flight" and left - self.size * 0.45 > free:
            x0, x1 = max(0, int(left - self.size * 0.42)), max(0, int(left - self.size * 0.12))
            c.ink[int(top + line * 0.3) : int(top + line * 0.7), x0:x1] = 15

    def draw_note(self):
        r, left = self.r, self.x[0]
        s = plain(corpus.fill(r, r.choice(corpus.NOTES)), self.face["missing"])
        g = self.atlas.get(self.face, max(12, round(self.size * 0.65)), True)
        if s and self.y + g.height + 2 < self.h and left + g.width(s) < self.w - 8:
            y = min(self.y + 3 * self.unit, self.h - g.height - 1)
            self.canvas.text(g, left, y, s, 0, r.randrange(8, 16))


def board(r, atlas, width, height, rows, least, hard, sizes=SIZES, held=False, unit=1.0, small=0):
    """A drawn Board (canvas, order, table, random), or None if this draw does not fit.

    rows: (least, most); least: smallest em size; hard: share of random places; held: held-out city names too; small: share
    of boards with one of the smallest sizes, SMALL at most.
    """
    b = Board(r, atlas, width, height, unit)
    try:
        b.write(rows, hard, held)
        b.choose_size(sizes, least, small)
        b.lay_out()
        if b.title:
            b.draw_title()
        if b.head:
            b.draw_head()
        b.choose_dress()
        for j in range(b.n):
            b.draw_row(j)
        if b.note:
            b.draw_note()
    except Failed:
        return None
    return b


def lines(r, atlas, width, height, count, least, cap, hard=0.25, alike=0, small=0):
    """One to `count` lines of text, at most `cap` characters: (canvas, [text, ...]), or None. hard, alike: as
    corpus.text_line's; small: share of pictures with one of the smallest sizes, SMALL at most.
    """
    face, n = atlas.pick(r), r.randrange(1, count + 1)
    c = Canvas(width, height)
    sizes = [s for s in SIZES if s >= least]
    if small and r.random() < small:
        sizes = [s for s in sizes if s <= SMALL] or sizes[:1]
    px = r.choice(sizes)
    g, out, left = atlas.get(face, px, r.random() < 0.5), [], cap
    total = n * g.height * 1.05
    if total > height - 8:
        return None
    y = 4 + r.random() * (height - 8 - total)
    pitch = min(g.height * 1.05 * r.uniform(1, 2), (height - 4 - y) / n)
    indent = r.uniform(4, width * 0.3)
    longest = int((width - indent) / (g.width("nnnnoooott") / 10))
    upper = face["upper_only"] or r.random() < 0.2
    if r.random() < 0.25:
        c.ground(0, 0, width, y - 2, r.choice((1, 2)))
    c.colour(0, 0, width, height, r.choice((0, 0, 0, 1, 2)))
    for i in range(n):
        if min(longest, left) < 2:
            break
        s = corpus.text_line(r, min(longest, left, 44), hard, alike)
        s = plain(s.upper() if upper else s, face["missing"])
        if not s:
            return None
        x = indent if r.random() < 0.7 else max(4, (width - g.width(s)) / 2)
        if not c.text(g, x, y + i * pitch, s):
            return None
        out.append(s)
        left -= len(s) + 1
    return c, out
