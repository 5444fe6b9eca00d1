"""Batches from worker processes, through shared memory that the GPU copies from.

Batch i of every rank has the same shape (key): a function of i and the progress, so that ranks wait little
for one another. A key is (grid index, length index). All lengths hold the same number of tokens: BATCH *
LENGTH is constant.
"""
import ctypes, mmap, multiprocessing, os, random, signal
import numpy as np
import boards, glyphs, looks, tokenizer
from model import CELLS_X, CELLS_Y, LEAD, PATCH

# (rows, columns) of patches at 280 soft tokens, and their share: 960x672, 16:9, 4:3, 16:10, square
GRIDS = [(14, 20, 0.40), (12, 22, 0.27), (14, 19, 0.15), (13, 21, 0.10), (16, 16, 0.08)]
# (tokens, batch, least and most rows of a board, share of text lines, share of steps)
LENGTHS = [(384, 64, 1, 2, 0.30, 0.2), (512, 48, 2, 6, 0.15, 0.4), (768, 32, 5, 12, 0.03, 0.4)]
if os.environ.get("TINY"):  # a test of the code on a CPU
    LENGTHS = [(t, n // 32, *rest) for t, n, *rest in LENGTHS]
LARGEST = max(r * c for r, c, _ in GRIDS) * PATCH * PATCH  # bytes of the largest drawing
CLASSES = len(glyphs.CHARSET) + 1
RANDOM_PLACES = 0.45
SIZES_BY_PROGRESS = (38, 34, 30, 27, 24, 22, 20)


def key_of(i, progress):
    r = random.Random(i * 7919 + 1)
    open_to = 1 if progress < 0.012 else 2 if progress < 0.035 else 3
    length = r.choices(range(open_to), [l[5] for l in LENGTHS[:open_to]])[0]
    return r.choices(range(len(GRIDS)), [g[2] for g in GRIDS])[0], length


def sample(r, atlas, key, progress, held=False, rough=None):
    """One training example: (canvas, corners, answer, question, plan for the looks)."""
    rows, cols, _ = GRIDS[key[0]]
    length, _, least_rows, most_rows, text_share, _ = LENGTHS[key[1]]
    w, h = cols * PATCH, rows * PATCH
    rough = min(1, max(0, (progress - 0.03) / 0.2)) if rough is None else rough
    stage = int(progress / 0.15 * len(SIZES_BY_PROGRESS))
    floor = SIZES_BY_PROGRESS[stage] if stage < len(SIZES_BY_PROGRESS) else r.choice((18, 20, 22, 24, 24))
    most_rows = min(most_rows, 1 + int(progress / 0.006))
    while True:
        corners, scale = looks.quad(r, w, h, rough)
        is_text = r.random() < text_share
        question = r.choice(boards.TEXT_QUESTIONS if is_text else boards.BOARD_QUESTIONS)
        start, end = tokenizer.prompt(question)
        room = length - LEAD - rows * cols - len(end)
        if is_text:
            got = boards.lines(r, atlas, w, h, 2 if key[1] == 0 else 5, floor / scale, room - 4)
            if not got:
                continue
            canvas, text = got[0], "\n".join(got[1])
        else:
            got = boards.board(
                r,
                atlas,
                w,
                h,
                (min(least_rows, most_rows), most_rows),
                floor / scale,
                RANDOM_PLACES,
                held=held,
            )
            if not got:
                continue
            canvas, text = got.canvas, boards.answer(got.table)
        ids = boards.tokens(text)
        if len(ids) <= room:
            return canvas, corners, start, end, ids, looks.palette(r), looks.camera(r, w, h, corners, rough)


def batch(r, atlas, key, progress, images, held=False, rough=None):
    """Fill `images` uint8 [B, H, W] with drawings; returns (ids, labels int16 [B, T], cells uint8 [B, soft,
    18], palettes, cameras).
    """
    rows, cols, _ = GRIDS[key[0]]
    length, size = LENGTHS[key[1]][:2]
    soft, h, w = rows * cols, rows * PATCH, cols * PATCH
    ids = np.full((size, length), tokenizer.PAD, np.int16)
    labels = np.full((size, length), -100, np.int16)
    cells = np.zeros((size, soft, CELLS_Y * CELLS_X), np.uint8)
    pals, cams = np.zeros((size, 9, 3), np.float32), np.zeros((size, len(looks.CAMERA)), np.float32)
    for b in range(size):
        canvas, corners, start, end, text, pals[b], cams[b] = sample(r, atlas, key, progress, held, rough)
        canvas.bytes(images[b])
        seq = start + [tokenizer.IMAGE] * soft + end + text
        ids[b, : len(seq)] = seq
        labels[b, len(seq) - len(text) - 1 : len(seq) - 1] = text
        m = np.array(canvas.marks, np.float64).reshape(-1, 3)
        x, y = m[:, 0], m[:, 1]
        if corners is not None:
            x, y = looks.project(looks.homography([(0, 0), (w, 0), (w, h), (0, h)], corners), x, y)
        x, y = np.clip(x, 0, w - 1).astype(np.int64), np.clip(y, 0, h - 1).astype(np.int64)
        ch, cw = PATCH // CELLS_Y, PATCH // CELLS_X
        cells[b, y // PATCH * cols + x // PATCH, y % PATCH // ch * CELLS_X + x % PATCH // cw] = m[
            :, 2
        ].astype(np.uint8)
    return ids, labels, cells, pals, cams


def work(worker, workers, seed, faces, memory, slots, free, ready, progress):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: do not outlive the trainer
    r = random.Random(seed * 1000003 + worker)
    atlas = glyphs.Atlas(faces[worker % len(faces) :: workers])
    i = worker
    while True:
        slot = free.get()
        key = key_of(i, progress.value)
        rows, cols, _ = GRIDS[key[0]]
        n = LENGTHS[key[1]][1]
        area = np.frombuffer(
            memory, np.uint8, n * rows * cols * PATCH * PATCH, slot * LENGTHS[0][1] * LARGEST
        )
        ready.put(
            (slot, key, *batch(r, atlas, key, progress.value, area.reshape(n, rows * PATCH, cols * PATCH)))
        )
        i += workers


class Feed:
    """Start before CUDA is touched: the workers are forks."""

    def __init__(self, faces, workers, seed, slots=3):
        ctx = multiprocessing.get_context("fork")
        self.progress = ctx.Value("d", 0.0, lock=False)
        self.slot_bytes, self.workers, self.i = LENGTHS[0][1] * LARGEST, workers, 0
        self.memory, self.free, self.ready, self.processes = [], [], [], []
        for w in range(workers):
            memory, free, ready = mmap.mmap(-1, slots * self.slot_bytes), ctx.SimpleQueue(), ctx.SimpleQueue()
            for s in range(slots):
                free.put(s)
            p = ctx.Process(
                target=work,
                args=(w, workers, seed, faces, memory, slots, free, ready, self.progress),
                daemon=True,
            )
            p.start()
            self.memory.append(np.frombuffer(memory, np.uint8))
            self.free.append(free)
            self.ready.append(ready)
            self.processes.append(p)

    def next(self):
        """(release token, key, images uint8 flat view of shared memory, ids, labels, cells, palettes,
        cameras)
        """
        w = self.i % self.workers
        self.i += 1
        slot, key, *arrays = self.ready[w].get()
        rows, cols, _ = GRIDS[key[0]]
        n = LENGTHS[key[1]][1] * rows * cols * PATCH * PATCH
        start = slot * self.slot_bytes
        return (w, slot), key, self.memory[w][start : start + n], *arrays

    def close(self):
        for p in self.processes:
            p.kill()

    def release(self, token):
        self.free[token[0]].put(token[1])
