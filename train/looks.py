"""Colours and camera: what turns a drawing of boards.py into a picture.

A look is a palette float32 [9, 3] (grounds 0-3, inks 4-7, the wall behind the board 8) and a camera float32
[18] (CAMERA below). pixels.py applies looks on the GPU; `picture` below applies the same look with numpy and
Pillow, for files.
"""
import io
import numpy as np
from PIL import Image

# h*: rows of the homography from picture pixels to drawing pixels (its ninth number is 1); light: brightness
# slopes over the width and height; blur: share of each neighbour (0 .. 0.33) of two passes; noise: standard
# deviations of grey and colour noise; jpeg: quality, 0 = none; dots: period in pixels (0 = none) and depth of
# an LED grid; grain: noise of 2 pixels' size
CAMERA = (
    "h0 h1 h2 h3 h4 h5 h6 h7 light_x light_y blur_x blur_y noise colour_noise jpeg dots dot_depth grain"
).split()
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def colours(text):
    """'1 .8 0, …' -> [(1.0, 0.8, 0.0), …]"""
    return [tuple(float(v) for v in c.split()) for c in text.split(",")]


VIVID = colours(
    "1 .8 0, 1 .69 0, .3 1 .3, 0 .86 0, 1 .25 .2, 1 .6 0, .2 .8 1, 1 1 .4, 1 .4 .7, 1 1 1, .5 .7 1"
)
DEEP = colours(".75 0 0, 0 .4 .1, 0 .2 .6, .55 .3 0, .4 0 .5, 0 .35 .45, 0 0 0, .35 .1 .1")
BARS = colours(
    "1 .8 0, .98 .75 .1, 0 .25 .55, 0 .35 .3, .6 .05 .1, .12 .12 .14, .9 .9 .9, .2 .5 .8, .05 .2 .4"
)
PAPERS = colours("0 .1 .3, 0 .2 .25, .02 .16 .1, .25 .02 .05, .1 .1 .3")


def luma(c):
    return float(np.dot(c, LUMA))


def palette(r):
    """Draw colours until every ink stands out from every ground that it may lie on."""
    uniform = lambda lo, hi: np.array([r.uniform(lo, hi) for _ in range(3)], np.float32)
    clip = lambda c: np.clip(c, 0, 1)
    gap = lambda a, b: abs(luma(a) - luma(b))
    while True:
        dark = r.random() < 0.72
        tint = uniform(-0.06, 0.06)
        grey = r.uniform(0, 0.2) if dark else r.uniform(0.72, 1)
        paper = clip(grey + tint * (1 if r.random() < 0.7 else 2.5))
        if dark and r.random() < 0.2:
            paper = clip(np.array(r.choice(PAPERS)) + tint * 0.5)
        stripe = clip(paper + r.choice((-1, 1)) * r.uniform(0.025, 0.1))
        if r.random() < 0.7:
            bar = np.array(r.choice(BARS))
        else:
            bar = clip(paper + r.choice((-1, 1)) * r.uniform(0.05, 0.3))
        badge = bar if r.random() < 0.4 else np.array(r.choice(BARS))
        inks = [np.array(r.choice(VIVID if dark else DEEP)) for _ in range(3)]
        if r.random() < 0.75:  # the main ink is mostly plain
            if r.random() < 0.6:
                inks[0] = np.full(3, 1.0 if dark else 0.0)
            else:
                inks[0] = uniform(0.65, 1) if dark else uniform(0, 0.35)
        inks = [clip(i + uniform(-0.08, 0.08)) for i in inks]
        on_bar = np.full(3, 0.0 if min(luma(bar), luma(badge)) > 0.45 else 1.0)
        on_bar = clip(on_bar + uniform(-0.1, 0.1))
        worst = [min(gap(i, paper), gap(i, stripe)) for i in inks]
        if worst[0] > 0.3 and min(worst[1:]) > 0.24 and min(gap(on_bar, bar), gap(on_bar, badge)) > 0.3:
            break
    wall = uniform(0, 1) if r.random() < 0.5 else clip(paper + uniform(-0.2, 0.2))
    return np.stack([paper, stripe, bar, badge, *inks, on_bar, wall]).astype(np.float32)


def homography(src, dst):
    """h[8] with (x, y, 1) of src -> dst, four points each."""
    a, b = [], []
    for (x, y), (u, v) in zip(src, dst):
        a += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        b += [u, v]
    return np.linalg.solve(np.array(a, np.float64), np.array(b, np.float64))


def project(h, x, y):
    d = h[6] * x + h[7] * y + 1
    return (h[0] * x + h[1] * y + h[2]) / d, (h[3] * x + h[4] * y + h[5]) / d


def quad(r, w, h, strength):
    """Corners of the board in the picture, and the smallest local scale. strength 0: the board fills the
    picture.
    """
    if strength == 0 or r.random() < 0.5:
        return None, 1.0
    s = strength * r.random()
    inset = [r.uniform(0, 0.05) * s for _ in range(4)]
    x0, y0, x1, y1 = inset[0] * w, inset[1] * h, w - inset[2] * w, h - inset[3] * h
    jit = lambda: r.uniform(-1, 1) * 0.03 * s
    pts = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    pts = [[x + jit() * w, y + jit() * h] for x, y in pts]
    turn = np.deg2rad(r.gauss(0, 1.0) * s)
    c, sn, mx, my = np.cos(turn), np.sin(turn), w / 2, h / 2
    pts = np.array([[mx + (x - mx) * c - (y - my) * sn, my + (x - mx) * sn + (y - my) * c] for x, y in pts])
    lo, hi = pts.min(0), pts.max(0)  # shrink until the whole board is in the picture
    f = min(1, w / (hi[0] - lo[0]), h / (hi[1] - lo[1]))
    middle, half = (lo + hi) / 2, (hi - lo) / 2 * f
    pts = (pts - middle) * f + np.clip(middle, half, np.array([w, h]) - half)
    side = lambda i, j: float(np.hypot(*(pts[i] - pts[j])))
    return pts, min(side(0, 1) / w, side(3, 2) / w, side(0, 3) / h, side(1, 2) / h)


def camera(r, w, h, corners, rough):
    """The camera vector; rough 0 .. 1 scales everything that hurts."""
    hom = np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float64)
    if corners is not None:
        hom = homography(corners, [(0, 0), (w, 0), (w, h), (0, h)])
    on = lambda p: r.random() < p * rough
    blur = r.uniform(0, 0.22) if on(0.4) else 0
    blur2 = (blur if r.random() < 0.7 else r.uniform(0, 0.22)) if blur else 0
    v = [
        *hom,
        r.uniform(-0.25, 0.25) if on(0.4) else 0,
        r.uniform(-0.25, 0.25) if on(0.4) else 0,
        blur,
        blur2,
        r.uniform(0, 0.05) if on(0.5) else 0,
        r.uniform(0, 0.03) if on(0.3) else 0,
        r.uniform(35, 92) if on(0.4) else 0,
        r.choice((3, 4, 5)) if on(0.05) else 0,
        r.uniform(0.2, 0.5),
        r.uniform(0, 0.03) if on(0.2) else 0,
    ]
    return np.array(v, np.float32)


def picture(drawing, pal, cam, rng):
    """uint8 RGB [h, w, 3]: pixels.py's steps with numpy. JPEG goes through Pillow's coder."""
    h, w = drawing.shape
    c = dict(zip(CAMERA, cam.tolist()))
    ink = (drawing & 15).astype(np.float32) / 15
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    if c["dots"] > 0:
        ink *= 1 - c["dot_depth"] * ((xx % c["dots"] < 1) | (yy % c["dots"] < 1))
    ground, colour = pal[:4][drawing >> 6], pal[4:8][(drawing >> 4) & 3]
    im = ground + (colour - ground) * ink[..., None]
    hom = cam[:8].astype(np.float64)
    if not np.allclose(hom, [1, 0, 0, 0, 1, 0, 0, 0]):
        src = Image.fromarray(np.clip(im * 255 + 0.5, 0, 255).astype(np.uint8))
        warped = src.transform((w, h), Image.PERSPECTIVE, tuple(hom), Image.BICUBIC)
        inside = Image.new("L", (w, h), 255).transform((w, h), Image.PERSPECTIVE, tuple(hom), Image.BILINEAR)
        a = np.asarray(inside, np.float32)[..., None] / 255
        im = np.asarray(warped, np.float32) / 255 * a + pal[8] * (1 - a)
    im = im * (1 + c["light_x"] * (xx / w - 0.5) + c["light_y"] * (yy / h - 0.5))[..., None]
    for axis, a in ((1, c["blur_x"]), (0, c["blur_y"])) * 2:
        if a > 0:
            p = np.pad(im, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
            im = (1 - 2 * a) * im + a * (
                p.take(range(0, im.shape[axis]), axis) + p.take(range(2, im.shape[axis] + 2), axis)
            )
    if c["noise"] > 0:
        im = im + rng.normal(0, c["noise"], (h, w, 1)).astype(np.float32)
    if c["colour_noise"] > 0:
        im = im + rng.normal(0, c["colour_noise"], (h, w, 3)).astype(np.float32)
    if c["grain"] > 0:
        grain = rng.normal(0, c["grain"], (h // 2 + 1, w // 2 + 1, 1)).astype(np.float32)
        im = im + grain.repeat(2, 0).repeat(2, 1)[:h, :w]
    out = Image.fromarray(np.clip(im * 255 + 0.5, 0, 255).astype(np.uint8))
    if c["jpeg"] > 0:
        buf = io.BytesIO()
        out.save(buf, "JPEG", quality=int(c["jpeg"]))
        out = Image.open(buf).convert("RGB")
    return np.asarray(out)
