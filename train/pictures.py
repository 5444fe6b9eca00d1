"""Pictures with names on backgrounds, and textures with nothing to name: colour images uint8 [H, W, 3]."""
import glob, json, math, os
import numpy as np
from PIL import Image
from pack_pictures import CELL, COLUMNS, HELD, SEEN

HERE = os.path.dirname(os.path.abspath(__file__))
STYLES, HELD_STYLE = SEEN, HELD
ASKED_STYLES = ("noto", "fluent", "twitter")  # of the evaluation's set of seen styles
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
WHAT = ["What is in the picture?"] * 4 + ["What do you see?", "Name the pictures.", "Describe the picture."]
WHERE, WHICH, COUNT = "Where is the {name}?", "What is at the {place}?", "How many pictures are there?"
# questions up to here ask for all names and places; where one is, or what is somewhere; the rest, how many
NAMING, PLACING = 0.68, 0.92
NOTHING, NOT_HERE = "Nothing.", "There is no {name}."


class Sheets:
    """The pictures of some styles, cut out on demand. varied: in changed colours too, as training wants them."""

    def __init__(self, styles=STYLES, varied=False, data=os.path.join(HERE, "data")):
        with open(os.path.join(data, "pictures.json")) as f:
            self.names = json.load(f)
        self.sheets = [Image.open(os.path.join(data, f"sheet-{s}.webp")).convert("RGBA") for s in styles]
        self.varied = varied
        box = lambda i: (i % COLUMNS * CELL, i // COLUMNS * CELL, (i % COLUMNS + 1) * CELL, (i // COLUMNS + 1) * CELL)
        self.boxes = [box(i) for i in range(len(self.names))]
        self.having = [[s for s in self.sheets if s.crop(b).getchannel("A").getbbox()] for b in self.boxes]

    def cut(self, r, index):
        picture = r.choice(self.having[index]).crop(self.boxes[index])
        return repainted(r, picture) if self.varied and r.random() < 0.4 else picture


def repainted(r, picture):
    """The same picture with its colours mixed, or few of them: what it shows does not depend on them."""
    a = np.asarray(picture).astype(np.float32)
    c = a[..., :3]
    if r.random() < 0.7:
        strength = r.uniform(0, 0.5)
        mix = np.eye(3) * (1 - strength) + np.random.default_rng(r.randrange(1 << 30)).dirichlet([1, 1, 1], 3).T * strength
        c = c @ mix.astype(np.float32) * r.uniform(0.8, 1.2) + r.uniform(-25, 25)
    if r.random() < 0.5:
        step = 255 / r.choice((2, 3, 4))
        c = np.rint(c / step) * step
    out = np.concatenate([np.clip(c, 0, 255), a[..., 3:]], 2).astype(np.uint8)
    return Image.fromarray(out, "RGBA")


def octaves(rng, w, h, low, high, channels=3):
    """Smooth noise [h, w, channels] of mean 0: the sum of random fields of 2^low .. 2^high cells."""
    out = np.zeros((h, w, channels), np.float32)
    for k in range(low, high):
        n = 2**k
        f = rng.normal(0, 1, (n * h // w + 2, n + 1, channels)).astype(np.float32)
        for c in range(channels):
            out[..., c] += np.asarray(Image.fromarray(f[..., c]).resize((w, h), Image.BICUBIC)) * 0.6 ** (k - low)
    return out


def background(r, w, h):
    """Flat, graded, striped or cloudy."""
    rng = np.random.default_rng(r.randrange(1 << 30))
    a, b = (rng.uniform(0, 255, 3).astype(np.float32) for _ in range(2))
    kind = r.random()
    im = np.broadcast_to(a, (h, w, 3)).copy()
    if kind < 0.3:
        return im.astype(np.uint8)
    if kind < 0.6:
        turn = r.uniform(0, 2 * math.pi)
        t = np.cos(turn) * np.linspace(-0.5, 0.5, w)[None] + np.sin(turn) * np.linspace(-0.5, 0.5, h)[:, None]
        im += (b - a) * (t[..., None] + 0.5).astype(np.float32)
    elif kind < 0.75:
        period = r.randrange(20, 120)
        line = np.arange(w)[None] + np.arange(h)[:, None] * r.choice((0, 1, -1))
        im += (b - a) * r.uniform(0.1, 0.5) * ((line // period % 2)[..., None]).astype(np.float32)
    else:
        im += octaves(rng, w, h, 1, r.choice((3, 5)), 1) * (b - a) * 0.25
    return np.clip(im, 0, 255).astype(np.uint8)


def scene(r, sheets, w, h):
    """(image, [(place 0-8, index)] in reading order, [(x, y, index) of the middles])"""
    im = Image.fromarray(background(r, w // 2, h // 2)).resize((w // 2 * 2, h // 2 * 2), Image.NEAREST)
    n = r.choice((1, 1, 2, 2, 3, 3, 4))
    cells = sorted(r.sample(range(9), n)) if n > 1 else [r.choice((4, 4, 4, *range(9)))]
    things, marks = [], []
    for cell in cells:
        index = r.randrange(len(sheets.names))
        while any(index == other for _, other in things):
            index = r.randrange(len(sheets.names))
        most = min(w, h) / 3 * (1.0 if n > 1 or cell != 4 else 2.2)
        size = int(r.uniform(0.55, 1.0) * most)
        picture = sheets.cut(r, index).resize((size, size), Image.BILINEAR)
        if r.random() < 0.3:
            picture = picture.rotate(r.uniform(-20, 20), Image.BILINEAR)
        if r.random() < 0.3:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        slack_x, slack_y = w / 3 - size, h / 3 - size
        x = (cell % 3 + 0.5) * w / 3 - size / 2 + r.uniform(-0.5, 0.5) * max(0, slack_x)
        y = (cell // 3 + 0.5) * h / 3 - size / 2 + r.uniform(-0.5, 0.5) * max(0, slack_y)
        x, y = int(min(max(0, x), w - size)), int(min(max(0, y), h - size))
        im.paste(picture, (x, y), picture)
        things.append((cell, index))
        marks.append((x, y, size, index))
    return np.asarray(im), things, marks


def ask(r, things, names, kind=None):
    """(question, answer) about a scene. kind: 0 to 1, as NAMING and PLACING divide it; None: any."""
    kind = r.random() if kind is None else kind
    there = dict(things)
    if kind < NAMING:
        return r.choice(WHAT), "\n".join(f"{PLACES[c]}: {names[i]}" for c, i in things)
    if kind < 0.80:
        if r.random() < 0.25:
            i = r.randrange(len(names))
            if i not in there.values():
                return WHERE.format(name=names[i]), NOT_HERE.format(name=names[i])
        c, i = r.choice(things)
        return WHERE.format(name=names[i]), PLACES[c][0].upper() + PLACES[c][1:] + "."
    if kind < PLACING:
        c = r.choice(things)[0] if r.random() < 0.75 else r.randrange(9)
        return WHICH.format(place=PLACES[c]), names[there[c]] if c in there else NOTHING
    return COUNT, str(len(things))


class Photos:
    """Photographs (prepare) for training to refuse: a piece of one, turned over, in another light."""

    def __init__(self, data=os.path.join(HERE, "data", "photos")):
        self.photos = [Image.open(p).convert("RGB") for p in sorted(glob.glob(os.path.join(data, "*.jpg")))]

    def piece(self, r, w, h):
        photo = r.choice(self.photos)
        width = r.uniform(0.4, 1) * min(photo.width, photo.height * w / h)
        height = width * h / w
        x, y = r.uniform(0, photo.width - width), r.uniform(0, photo.height - height)
        im = photo.resize((w, h), Image.BILINEAR, (x, y, x + width, y + height))
        im = im.transpose(Image.FLIP_LEFT_RIGHT) if r.random() < 0.5 else im
        order = r.sample(range(3), 3) if r.random() < 0.3 else [0, 1, 2]
        light = np.array([r.uniform(0.75, 1.2) for _ in range(3)], np.float32)
        return np.clip(np.asarray(im)[..., order] * light, 0, 255).astype(np.uint8)


def texture(r, w, h):
    """An image without anything to read or name: noise, clouds, landscapes of shapes, as photographs are."""
    rng = np.random.default_rng(r.randrange(1 << 30))
    kind = r.random()
    if kind < 0.2:
        n = r.choice((1, 2, 4, 8, 24, 48))
        im = rng.integers(0, 256, (h // n + 1, w // n + 1, r.choice((1, 3)))).astype(np.uint8)
        return np.broadcast_to(im.repeat(n, 0).repeat(n, 1)[:h, :w], (h, w, 3)).copy()
    full, w, h = (w, h), w // 2, h // 2  # half the size: four times as fast, and photographs are softer than drawings
    base = rng.uniform(20, 235, 3) + octaves(rng, w, h, r.choice((0, 1, 2)), r.choice((4, 6, 7)), 3) * rng.uniform(15, 60)
    if kind < 0.6:  # grey structure in colour light, like grass, stone, skin, sky
        base = base * 0.5 + 0.5 * base.mean(2, keepdims=True) + octaves(rng, w, h, 4, 8, 1) * rng.uniform(5, 45)
        if r.random() < 0.6:
            edge = int(h * r.uniform(0.25, 0.75)) + (octaves(rng, w, 1, 1, 5, 1)[0, :, 0] * h * 0.05).astype(int)
            sky = np.arange(h)[:, None] < edge[None]
            base[sky] = base[sky] * 0.2 + rng.uniform(90, 250, 3) * 0.8
    elif kind < 0.85:  # blobs and edges, like things out of focus
        for _ in range(r.randrange(3, 25)):
            x, y, a = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(30, 350)
            yy, xx = np.ogrid[0:h, 0:w]
            inside = ((xx - x) / a) ** 2 + ((yy - y) / (a * rng.uniform(0.4, 1.6))) ** 2 < 1
            base[inside] = base[inside] * 0.4 + rng.uniform(0, 255, 3) * 0.6
    base = np.clip(base + rng.normal(0, rng.uniform(0, 12), (h, w, 1)), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(base).resize(full, Image.BILINEAR))
