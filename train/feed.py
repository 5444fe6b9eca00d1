"""Batches from worker processes, through shared memory that the GPU copies from.

The recipe and shape of batch i are functions of i and the progress. A key (kind, grid index, tokens) names a shape,
and all shapes hold the same number of tokens. What is trained when is data: RECIPES and MIXES.
"""
import ctypes, mmap, multiprocessing, os, random, signal, traceback
from collections import namedtuple
import numpy as np
import glyphs, looks, pack_pictures, sounds, speech, tasks, tokenizer
from model import CELLS_X, CELLS_Y, LEAD, PATCH

# (rows, columns) of patches at 280 soft tokens, and their share: 960x672, 16:9, 4:3, 16:10, square
GRIDS = [(14, 20, 0.40), (12, 22, 0.27), (14, 19, 0.15), (13, 21, 0.10), (16, 16, 0.08)]
TOKENS = 24576 // (32 if os.environ.get("TINY") else 1)  # of a batch; TINY: a test of the code on a CPU
DRAWING, COLOUR, SOUND, SPOKEN = "drawing", "colour", "sound", "spoken"
BARE = dict(bare=0.04)  # without a question
# more of what is hard than the evaluation has: a third of what the second run read wrong was 20 to 26 px
LINES, BOARD = dict(alike=0.15, small=0.4, **BARE), dict(small=0.4, text=0.06, **BARE)
# name: kind of batch, tokens of a sequence, {task: share}, and options of tasks
Recipe = namedtuple("Recipe", "kind tokens tasks options")
RECIPES = {
    "short": Recipe(
        DRAWING, 384, {"lines": 0.7, "board": 0.3}, {"lines": dict(count=2, **LINES), "board": dict(rows=(1, 2), **BOARD)}
    ),
    "middle": Recipe(DRAWING, 512, {"lines": 0.55, "board": 0.45}, {"lines": LINES, "board": dict(rows=(2, 6), **BOARD)}),
    "long": Recipe(DRAWING, 768, {"lines": 0.03, "board": 0.97}, {"board": dict(rows=(5, 12), **BOARD)}),
    "ask": Recipe(DRAWING, 512, {"ask": 0.86, "foreign_shown": 0.05, "unreadable": 0.09}, {"ask": dict(turns=9)}),
    "find": Recipe(DRAWING, 512, {"ask": 1.0}, {"ask": dict(turns=9, rows=(2, 3), least=24)}),  # ask, easier
    "picture": Recipe(COLOUR, 384, {"scene": 0.86, "texture": 0.14}, {"scene": dict(turns=4, **BARE)}),
    "hear": Recipe(SOUND, 192, {"transcript": 0.9, "no_speech": 0.05, "foreign_text": 0.05}, {"transcript": BARE}),
    "hear_long": Recipe(SOUND, 512, {"published": 0.5, "long_speech": 0.5}, {}),
    "spoken": Recipe(SPOKEN, 512, {"spoken": 1.0}, {}),
}
# name: from this progress on, share of steps by recipe. all: for a checkpoint that reads, or nothing; more: for one that
# has every skill; read: where reading is what it misses
MIXES = {
    "all": [
        (0.00, dict(short=0.05, middle=0.10, long=0.10, ask=0.10, picture=0.15, hear=0.50)),
        (0.35, dict(short=0.06, middle=0.10, long=0.12, ask=0.12, picture=0.13, hear=0.33, hear_long=0.06, spoken=0.08)),
        (0.70, dict(short=0.07, middle=0.13, long=0.18, ask=0.12, picture=0.12, hear=0.20, hear_long=0.06, spoken=0.12)),
    ],
    "more": [
        (0.00, dict(short=0.09, middle=0.14, long=0.10, find=0.14, ask=0.12,
                picture=0.17, hear=0.10, hear_long=0.04, spoken=0.10)),
        (0.15, dict(short=0.09, middle=0.15, long=0.11, find=0.05, ask=0.17,
                picture=0.16, hear=0.10, hear_long=0.04, spoken=0.13)),
        (0.55, dict(short=0.09, middle=0.20, long=0.15, ask=0.20, picture=0.13, hear=0.08, hear_long=0.03, spoken=0.12)),
    ],
    "read": [
        (0.00, dict(short=0.12, middle=0.27, long=0.22, ask=0.13, picture=0.09, hear=0.05, hear_long=0.03, spoken=0.09)),
    ],
}
SCRATCH = dict(short=0.2, middle=0.4, long=0.4)  # a model that cannot read yet reads first (reading, below 1)
SPOKEN_GRIDS = 3  # spoken questions use the first grids only
# a model from scratch: smallest sizes by progress in reading
SIZES_BY_PROGRESS = (38, 34, 30, 27, 24, 22, 20)
CLASSES = len(glyphs.CHARSET) + 1
LONGEST = max(r.tokens for r in RECIPES.values())
HEADS = dict(classes=CLASSES, things=len(pack_pictures.names()), phones=speech.CLASSES)  # auxiliary heads of model.Net


def keys():
    """All shapes, drawings first."""
    out = []
    for recipe in RECIPES.values():
        grids = {SOUND: 1, SPOKEN: SPOKEN_GRIDS}.get(recipe.kind, len(GRIDS))
        out += [(recipe.kind, g, recipe.tokens) for g in range(grids)]
    return list(dict.fromkeys(out))


def recipe_of(i, progress, reading=1.0, kinds=None, mix="all"):
    """(recipe's name, key) of batch i. reading: progress of a model from scratch in its first skill; kinds: of batches,
    None for all; mix: of MIXES.
    """
    r = random.Random(i * 7919 + 1)
    mix = [m for at, m in MIXES[mix] if progress >= at][-1]
    mix = {n: share for n, share in mix.items() if not kinds or RECIPES[n].kind in kinds}
    if reading < 0.4:
        names = list(SCRATCH)[: 1 if reading < 0.012 else 2 if reading < 0.035 else 3]
        mix = {n: SCRATCH[n] for n in names}
    name = r.choices(list(mix), list(mix.values()))[0]
    recipe = RECIPES[name]
    grid = r.choices(range(len(GRIDS)), [g[2] for g in GRIDS])[0]
    grid = {SOUND: 0, SPOKEN: grid % SPOKEN_GRIDS}.get(recipe.kind, grid)
    return name, (recipe.kind, grid, recipe.tokens)


def shape(key):
    """(rows, columns, tokens, batch) of a key; no rows and columns without a picture."""
    kind, grid, tokens = key
    rows, cols, _ = (0, 0, 0) if kind == SOUND else GRIDS[grid]
    return rows, cols, tokens, TOKENS // tokens


def sounding(key):
    """Positions of a sequence that may hold sound: all behind the picture."""
    rows, cols, tokens, _ = shape(key)
    return {SOUND: tokens, SPOKEN: tokens - LEAD - rows * cols}.get(key[0], 0)


def options_of(recipe, task, reading):
    """Options of a task, easier for a model that cannot read yet."""
    options = dict(recipe.options.get(task, {}))
    if reading < 1 and task in ("board", "lines"):
        options["rough"] = min(1, max(0, (reading - 0.03) / 0.2))
        stage = int(reading / 0.15 * len(SIZES_BY_PROGRESS))
        if stage < len(SIZES_BY_PROGRESS):
            options["least"] = SIZES_BY_PROGRESS[stage]
        if task == "board":
            most = min(options["rows"][1], 1 + int(reading / 0.006))
            options["rows"] = (min(options["rows"][0], most), most)
    return options


def layout(key):
    """{name: (type, dimensions)} of a batch's arrays: labels are ids too; cams and pals are looks; points, cells, things
    and phones are the labels of the auxiliary heads.
    """
    rows, cols, tokens, n = shape(key)
    soft, heard, colour = rows * cols, sounding(key), key[0] == COLOUR
    out = {}
    if soft:
        out["image"] = np.uint8, (n, rows * PATCH, cols * PATCH) + ((3,) if colour else ())
    if heard:
        out["frames"] = np.int16, (n, heard, sounds.FRAME)
    out["ids"] = out["labels"] = np.int16, (n, tokens)
    if soft and not colour:
        out["points"] = np.int16, (n, tokens)
    if soft:
        out["pals"], out["cams"] = (np.float32, (n, 9, 3)), (np.float32, (n, len(looks.CAMERA)))
        out["things" if colour else "cells"] = (
            (np.int16, (n, soft)) if colour else (np.uint8, (n, soft, CELLS_Y * CELLS_X))
        )
    if heard:
        out["phones"] = np.uint8, (n, heard, sounds.FINE)
    return out


def padded(kind, dimensions):
    """Bytes of an array in a slot."""
    return (int(np.prod(dimensions)) * np.dtype(kind).itemsize + 63) // 64 * 64


SLOT = max(sum(padded(*a) for a in layout(key).values()) for key in keys())  # the largest batch: colour images


def views(memory, key):
    """{name: array} over a slot of memory (uint8), in the order and with the types of layout."""
    out, at = {}, 0
    for name, (kind, dimensions) in layout(key).items():
        size = int(np.prod(dimensions)) * np.dtype(kind).itemsize
        out[name] = memory[at : at + size].view(kind).reshape(dimensions)
        at += padded(kind, dimensions)
    return out


def batch(t, name, key, memory, reading=1.0):
    """Fill `memory` with a batch of the recipe; returns its views."""
    r, recipe = t.r, RECIPES[name]
    rows, cols, tokens, n = shape(key)
    soft, w, h = rows * cols, cols * PATCH, rows * PATCH
    out = views(memory, key)
    empty = dict(ids=tokenizer.PAD, labels=-100, points=-100, pals=0, cells=0, things=0, frames=0, phones=255)
    for k in out:
        if k in empty:
            out[k].fill(empty[k])
    names = list(recipe.tasks)
    for b in range(n):
        task = r.choices(names, list(recipe.tasks.values()))[0]
        room = tokens - (LEAD + soft if soft else LEAD - 1)
        e = t.example(task, w, h, room, **options_of(recipe, task, reading))
        seq, marks = e.start + [tokenizer.IMAGE] * soft, []
        for asked, asked_points, ids, pointed in e.turns:
            marks.append((slice(len(seq), len(seq) + len(asked)), asked_points))
            seq += asked + ids
            at = slice(len(seq) - len(ids) - 1, len(seq) - 1)  # the positions that say the answer
            out["labels"][b, at] = ids
            marks.append((at, pointed))
        out["ids"][b, : len(seq)] = seq
        if soft:
            out["cams"][b] = e.camera
        if e.drawing:
            out["pals"][b] = e.palette
            e.drawing.bytes(out["image"][b])
            patches = mark_cells(out["cells"][b], e, w, h, cols)
            for at, pointed in marks:
                out["points"][b, at] = [patches[m] if m >= 0 else -100 for m in pointed]
        elif soft:
            out["image"][b] = e.colour
            mark_things(out["things"][b].reshape(rows, cols), e.things)
        if e.sound is not None:
            count = sounds.needed(e.sound)
            first = seq.index(tokenizer.AUDIO) - (LEAD + soft if soft else 0)
            out["frames"][b, first : first + count] = sounds.frames(e.sound, count)
            out["phones"][b, first : first + count] = e.phones
    return out


def held_out(names=tuple(RECIPES)):
    """[(recipe, key, arrays)]: a batch a recipe of what training never sees: families, cities, picture style, voices."""
    t = tasks.material(99, glyphs.load_faces(True), held=True)
    keys = [(name, (RECIPES[name].kind, 0, RECIPES[name].tokens)) for name in names]
    return [(name, key, batch(t, name, key, np.zeros(SLOT, np.uint8))) for name, key in keys]


def mark_cells(cells, e, w, h, cols):
    """Which character lies in which cell of which patch; the patches of the characters."""
    m = np.array(e.drawing.marks, np.float64).reshape(-1, 3)
    x, y = m[:, 0], m[:, 1]
    if e.corners is not None:
        x, y = looks.project(looks.homography([(0, 0), (w, 0), (w, h), (0, h)], e.corners), x, y)
    x, y = np.clip(x, 0, w - 1).astype(np.int64), np.clip(y, 0, h - 1).astype(np.int64)
    ch, cw = PATCH // CELLS_Y, PATCH // CELLS_X
    patches = y // PATCH * cols + x // PATCH
    cells[patches, y % PATCH // ch * CELLS_X + x % PATCH // cw] = m[:, 2].astype(np.uint8)
    return patches


def mark_things(grid, marks):
    """Which picture lies under the middle of a patch: its index + 1."""
    for x, y, size, index in marks:
        a, b = (x + PATCH // 2) // PATCH, (y + PATCH // 2) // PATCH
        n = max(1, size // PATCH)
        grid[b : b + n, a : a + n] = index + 1


def work(worker, workers, seed, faces, memory, free, ready, progress, reading, kinds, mix):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: do not outlive the trainer
    t = tasks.material(seed * 1000003 + worker, faces[worker % len(faces) :: workers])
    i = worker
    while True:
        slot = free.get()
        known = min(1.0, reading + progress.value)
        name, key = recipe_of(i, progress.value, known, kinds, mix)
        try:
            batch(t, name, key, np.frombuffer(memory, np.uint8, SLOT, slot * SLOT), known)
            ready.put((worker, slot, name, key))
        except Exception:  # a worker that ends starves the trainer without a word: say it, and draw the next one
            traceback.print_exc()
            free.put(slot)
        i += workers


class Feed:
    """Start before CUDA is touched: the workers are forks. reading: 1 for a model that reads already, else 0.

    Whole batches lie in shared memory, and only their names go through the queue: a pipe holds 64 KiB, and a worker
    whose batch does not fit waits for the reader. Batches come as they are ready; in the order of i, workers would wait
    for the slowest recipe.
    """

    def __init__(self, faces, workers, seed, reading=1.0, kinds=None, mix="all", slots=3):
        ctx = multiprocessing.get_context("fork")
        self.progress = ctx.Value("d", 0.0, lock=False)
        self.ready = ctx.SimpleQueue()
        self.memory, self.free, self.processes = [], [], []
        for w in range(workers):
            memory, free = mmap.mmap(-1, slots * SLOT), ctx.SimpleQueue()
            for s in range(slots):
                free.put(s)
            p = ctx.Process(
                target=work,
                args=(w, workers, seed, faces, memory, free, self.ready, self.progress, reading, kinds, mix),
                daemon=True,
            )
            p.start()
            self.memory.append(np.frombuffer(memory, np.uint8))
            self.free.append(free)
            self.processes.append(p)

    def waiting(self):
        """Is there a batch that next would return at once?"""
        return not self.ready.empty()

    def next(self):
        """(release token, recipe's name, key, dict of arrays, views of shared memory)"""
        w, slot, name, key = self.ready.get()
        return (w, slot), name, key, views(self.memory[w][slot * SLOT : (slot + 1) * SLOT], key)

    def close(self):
        for p in self.processes:
            p.kill()

    def release(self, token):
        self.free[token[0]].put(token[1])
