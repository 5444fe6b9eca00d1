"""Batches from worker processes, through shared memory that the GPU copies from.

Batch i of every rank has the same recipe and shape: functions of i and the progress, so that ranks wait little for
one another. A key (kind, grid index, tokens) names a shape, and all shapes hold the same number of tokens. What is
trained when is data: RECIPES and MIX.
"""
import ctypes, mmap, multiprocessing, os, random, signal
from collections import namedtuple
import numpy as np
import glyphs, looks, pack_pictures, sounds, speech, tasks, tokenizer
from model import CELLS_X, CELLS_Y, LEAD, PATCH

# (rows, columns) of patches at 280 soft tokens, and their share: 960x672, 16:9, 4:3, 16:10, square
GRIDS = [(14, 20, 0.40), (12, 22, 0.27), (14, 19, 0.15), (13, 21, 0.10), (16, 16, 0.08)]
TOKENS = 24576 // (32 if os.environ.get("TINY") else 1)  # of a batch; TINY: a test of the code on a CPU
DRAWING, COLOUR, SOUND, SPOKEN = "drawing", "colour", "sound", "spoken"
# name: kind of batch, tokens of a sequence, {task: share}, and options of tasks
Recipe = namedtuple("Recipe", "kind tokens tasks options")
RECIPES = {
    "short": Recipe(DRAWING, 384, {"lines": 0.6, "board": 0.4}, {"lines": dict(count=2), "board": dict(rows=(1, 2))}),
    "middle": Recipe(DRAWING, 512, {"lines": 0.25, "board": 0.75}, {"board": dict(rows=(2, 6))}),
    "long": Recipe(DRAWING, 768, {"lines": 0.03, "board": 0.97}, {"board": dict(rows=(5, 12))}),
    "ask": Recipe(DRAWING, 384, {"ask": 0.86, "foreign_shown": 0.05, "unreadable": 0.09}, {}),
    "picture": Recipe(COLOUR, 384, {"scene": 0.86, "texture": 0.14}, {}),
    "hear": Recipe(SOUND, 192, {"transcript": 0.9, "no_speech": 0.05, "foreign_text": 0.05}, {}),
    "hear_long": Recipe(SOUND, 512, {"published": 0.5, "long_speech": 0.5}, {}),
    "spoken": Recipe(SPOKEN, 512, {"spoken": 1.0}, {}),
}
# from this progress on: share of steps by recipe
MIX = [
    (0.00, dict(short=0.05, middle=0.10, long=0.10, ask=0.10, picture=0.15, hear=0.50)),
    (0.35, dict(short=0.06, middle=0.10, long=0.12, ask=0.12, picture=0.13, hear=0.33, hear_long=0.06, spoken=0.08)),
    (0.70, dict(short=0.07, middle=0.13, long=0.18, ask=0.12, picture=0.12, hear=0.20, hear_long=0.06, spoken=0.12)),
]
SCRATCH = dict(short=0.2, middle=0.4, long=0.4)  # a model that cannot read yet reads first (reading, below 1)
SPOKEN_GRIDS = 3  # spoken questions use the first grids only
# a model from scratch: smallest sizes by progress in reading
SIZES_BY_PROGRESS = (38, 34, 30, 27, 24, 22, 20)
LARGEST = max(r * c for r, c, _ in GRIDS) * PATCH * PATCH  # bytes of the largest drawing
CLASSES = len(glyphs.CHARSET) + 1
LONGEST = max(r.tokens for r in RECIPES.values())
HEADS = dict(classes=CLASSES, things=len(pack_pictures.names()), phones=speech.CLASSES)  # auxiliary heads of model.Net
SLOT = TOKENS // 384 * LARGEST * 3  # the largest batch: colour images


def keys():
    """All shapes, drawings first."""
    out = []
    for recipe in RECIPES.values():
        grids = {SOUND: 1, SPOKEN: SPOKEN_GRIDS}.get(recipe.kind, len(GRIDS))
        out += [(recipe.kind, g, recipe.tokens) for g in range(grids)]
    return list(dict.fromkeys(out))


def recipe_of(i, progress, reading=1.0, kinds=None):
    """(recipe's name, key) of batch i. reading: progress of a model from scratch in its first skill; kinds: of batches,
    None for all.
    """
    r = random.Random(i * 7919 + 1)
    mix = [m for at, m in MIX if progress >= at][-1]
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


def views(memory, key):
    """(pictures, frames) of a batch in a slot of shared memory, either may be None."""
    rows, cols, tokens, n = shape(key)
    at = 0
    image = frames = None
    if rows:
        full = (n, rows * PATCH, cols * PATCH) + ((3,) if key[0] == COLOUR else ())
        at = int(np.prod(full))
        image = memory[:at].reshape(full)
    if sounding(key):
        full = (n, sounding(key), sounds.FRAME)
        frames = memory[at : at + 2 * int(np.prod(full))].view(np.int16).reshape(full)
    return image, frames


def batch(t, name, key, memory, reading=1.0):
    """Fill `memory` (uint8) with pictures and sounds; returns a dict of the small arrays: ids, labels int16 [B, T]; and
    for pictures palettes, cameras, cells uint8 [B, soft, 18], things int16 [B, soft]; for sounds phones uint8 [B,
    positions, 4].
    """
    r, recipe = t.r, RECIPES[name]
    rows, cols, tokens, n = shape(key)
    soft, w, h, heard = rows * cols, cols * PATCH, rows * PATCH, sounding(key)
    image, frames = views(memory, key)
    out = dict(ids=np.full((n, tokens), tokenizer.PAD, np.int16), labels=np.full((n, tokens), -100, np.int16))
    if soft:
        out.update(pals=np.zeros((n, 9, 3), np.float32), cams=np.zeros((n, len(looks.CAMERA)), np.float32))
        out["cells" if key[0] != COLOUR else "things"] = (
            np.zeros((n, soft, CELLS_Y * CELLS_X), np.uint8) if key[0] != COLOUR else np.zeros((n, soft), np.int16)
        )
    if heard:
        frames[:] = 0
        out["phones"] = np.full((n, heard, sounds.FINE), 255, np.uint8)
    names = list(recipe.tasks)
    for b in range(n):
        task = r.choices(names, list(recipe.tasks.values()))[0]
        room = tokens - (LEAD + soft if soft else LEAD - 1)
        e = t.example(task, w, h, room, **options_of(recipe, task, reading))
        seq = e.start + [tokenizer.IMAGE] * soft + e.end + e.ids
        out["ids"][b, : len(seq)] = seq
        out["labels"][b, len(seq) - len(e.ids) - 1 : len(seq) - 1] = e.ids
        if soft:
            out["cams"][b] = e.camera
        if e.drawing:
            out["pals"][b] = e.palette
            e.drawing.bytes(image[b])
            mark_cells(out["cells"][b], e, w, h, cols)
        elif soft:
            image[b] = e.colour
            mark_things(out["things"][b].reshape(rows, cols), e.things)
        if e.sound is not None:
            count = sounds.needed(e.sound)
            first = seq.index(tokenizer.AUDIO) - (LEAD + soft if soft else 0)
            frames[b, first : first + count] = sounds.frames(e.sound, count)
            out["phones"][b, first : first + count] = e.phones
    return out


def mark_cells(cells, e, w, h, cols):
    """Which character lies in which cell of which patch."""
    m = np.array(e.drawing.marks, np.float64).reshape(-1, 3)
    x, y = m[:, 0], m[:, 1]
    if e.corners is not None:
        x, y = looks.project(looks.homography([(0, 0), (w, 0), (w, h), (0, h)], e.corners), x, y)
    x, y = np.clip(x, 0, w - 1).astype(np.int64), np.clip(y, 0, h - 1).astype(np.int64)
    ch, cw = PATCH // CELLS_Y, PATCH // CELLS_X
    cells[y // PATCH * cols + x // PATCH, y % PATCH // ch * CELLS_X + x % PATCH // cw] = m[:, 2].astype(np.uint8)


def mark_things(grid, marks):
    """Which picture lies under the middle of a patch: its index + 1."""
    for x, y, size, index in marks:
        a, b = (x + PATCH // 2) // PATCH, (y + PATCH // 2) // PATCH
        n = max(1, size // PATCH)
        grid[b : b + n, a : a + n] = index + 1


def work(worker, workers, seed, faces, memory, slots, free, ready, progress, reading, kinds):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: do not outlive the trainer
    t = tasks.material(seed * 1000003 + worker, faces[worker % len(faces) :: workers])
    i = worker
    while True:
        slot = free.get()
        known = min(1.0, reading + progress.value)
        name, key = recipe_of(i, progress.value, known, kinds)
        area = np.frombuffer(memory, np.uint8, SLOT, slot * SLOT)
        ready.put((slot, name, key, batch(t, name, key, area, known)))
        i += workers


class Feed:
    """Start before CUDA is touched: the workers are forks. reading: 1 for a model that reads already, else 0."""

    def __init__(self, faces, workers, seed, reading=1.0, kinds=None, slots=2):
        ctx = multiprocessing.get_context("fork")
        self.progress = ctx.Value("d", 0.0, lock=False)
        self.workers, self.i = workers, 0
        self.memory, self.free, self.ready, self.processes = [], [], [], []
        for w in range(workers):
            memory, free, ready = mmap.mmap(-1, slots * SLOT), ctx.SimpleQueue(), ctx.SimpleQueue()
            for s in range(slots):
                free.put(s)
            p = ctx.Process(
                target=work,
                args=(w, workers, seed, faces, memory, slots, free, ready, self.progress, reading, kinds),
                daemon=True,
            )
            p.start()
            self.memory.append(np.frombuffer(memory, np.uint8))
            self.free.append(free)
            self.ready.append(ready)
            self.processes.append(p)

    def next(self):
        """(release token, recipe's name, key, dict of arrays; pictures and frames are views of shared memory)"""
        w = self.i % self.workers
        self.i += 1
        slot, name, key, arrays = self.ready[w].get()
        image, frames = views(self.memory[w][slot * SLOT : (slot + 1) * SLOT], key)
        arrays.update({k: v for k, v in (("image", image), ("frames", frames)) if v is not None})
        return (w, slot), name, key, arrays

    def close(self):
        for p in self.processes:
            p.kill()

    def release(self, token):
        self.free[token[0]].put(token[1])
