"""Drawings to normalised patches on the GPU: colour, camera, light, blur, noise, JPEG, patches, the
embedder's first layer norm.

The same looks as looks.picture; steps in float32. Each function sees a fixed number of pictures of one grid,
so it compiles once per grid.
"""
import math
import torch, torch.nn.functional as F
from looks import CAMERA
from model import LN_EPS, PATCH

AT = {n: i for i, n in enumerate(CAMERA)}
# the quantisation tables of the JPEG standard's annex K
LUMA_Q = """
    16  11  10  16  24  40  51  61  12  12  14  19  26  58  60  55
    14  13  16  24  40  57  69  56  14  17  22  29  51  87  80  62
    18  22  37  56  68 109 103  77  24  35  55  64  81 104 113  92
    49  64  78  87 103 121 120 101  72  92  95  98 112 100 103  99
"""
CHROMA_Q = """
    17  18  24  47  99  99  99  99  18  21  26  66  99  99  99  99
    24  26  56  99  99  99  99  99  47  66  99  99  99  99  99  99
    99  99  99  99  99  99  99  99  99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99  99  99  99  99  99  99  99  99
"""


def constants(device):
    d = torch.tensor(
        [
            [math.cos((2 * x + 1) * u * math.pi / 16) * (0.5 if u else 0.125**0.5) for x in range(8)]
            for u in range(8)
        ]
    )
    quant = torch.tensor([[float(n) for n in q.split()] for q in (LUMA_Q, CHROMA_Q, CHROMA_Q)])
    return {"dct": torch.kron(d, d).to(device), "quant": quant.to(device)}


def column(cam, name):
    return cam[:, AT[name], None, None]


def paint(img, pal, cam):
    """img uint8 [B, H, W] -> (colour [B, 3, H, W], sampling grid [B, H, W, 2], inside [B, H, W])"""
    b, h, w = img.shape
    y = torch.arange(h, device=img.device, dtype=torch.float32)[None, :, None]
    x = torch.arange(w, device=img.device, dtype=torch.float32)[None, None, :]
    ink = (img & 15).float() / 15
    dots = column(cam, "dots").clamp(min=1)
    line = (torch.remainder(x, dots) < 1) | (torch.remainder(y, dots) < 1)
    ink = ink * (1 - column(cam, "dot_depth") * (line & (column(cam, "dots") > 0)).float())
    p = pal.transpose(1, 2)  # [B, 3, 9]
    look = lambda i: p.gather(2, i.long().view(b, 1, h * w).expand(b, 3, h * w)).view(b, 3, h, w)
    ground, colour = look(img >> 6), look(((img >> 4) & 3) + 4)
    im = ground + (colour - ground) * ink[:, None]
    return im, *lens(x, y, w, h, cam)


def coloured(img, cam):
    """A colour image uint8 [B, H, W, 3]; the rest as paint."""
    b, h, w, _ = img.shape
    y = torch.arange(h, device=img.device, dtype=torch.float32)[None, :, None]
    x = torch.arange(w, device=img.device, dtype=torch.float32)[None, None, :]
    return img.permute(0, 3, 1, 2).float() / 255, *lens(x, y, w, h, cam)


def lens(x, y, w, h, cam):
    """Where each pixel of the picture lies in the drawing: (sampling grid [B, H, W, 2], inside [B, H, W])."""
    q = [cam[:, i, None, None] for i in range(8)]
    px, py = x + 0.5, y + 0.5
    d = q[6] * px + q[7] * py + 1
    u = (q[0] * px + q[1] * py + q[2]) / d / w * 2 - 1
    v = (q[3] * px + q[4] * py + q[5]) / d / h * 2 - 1
    inside = ((u.abs() <= 1) & (v.abs() <= 1)).float()
    return torch.stack([u, v], -1), inside


def blur(im, a, axis):
    """Two passes of (a, 1 - 2a, a) along an axis of [B, 3, H, W] in one five-tap filter."""
    n = im.shape[axis]
    pad = (2, 2, 0, 0) if axis == 3 else (0, 0, 2, 2)
    p = F.pad(im, pad, mode="replicate")
    a = a[:, None]
    taps = [a * a, 2 * a * (1 - 2 * a), (1 - 2 * a) ** 2 + 2 * a * a]
    part = lambda i: p.narrow(axis, i, n)
    return taps[0] * (part(0) + part(4)) + taps[1] * (part(1) + part(3)) + taps[2] * part(2)


TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0))


def mix(m, im):
    """A 3x3 matrix over the channels of [B, 3, H, W]."""
    return torch.stack([sum(w * im[:, j] for j, w in enumerate(row)) for row in m], 1)


def jpeg(im, quality, k):
    """Quantise 8x8 blocks as JPEG does, with colour at half resolution; pictures of quality 0 pass unchanged.
    """
    b, _, h, w = im.shape
    ycc = mix(TO_YCC, im * 255 - 128)
    c = (
        ycc[:, 1:]
        .reshape(b, 2, h // 2, 2, w // 2, 2)
        .mean((3, 5), keepdim=True)
        .expand(b, 2, h // 2, 2, w // 2, 2)
        .reshape(b, 2, h, w)
    )
    ycc = torch.cat([ycc[:, :1], c], 1)
    blocks = ycc.view(b, 3, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(b, 3, -1, 64)
    q = quality.view(b, 1, 1, 1).clamp(min=1)
    scale = torch.where(q < 50, 5000 / q, 200 - 2 * q)
    step = ((k["quant"].view(1, 3, 1, 64) * scale + 50) / 100).floor().clamp(min=1)
    coded = torch.round(blocks @ k["dct"].t() / step) * step @ k["dct"]
    ycc = coded.view(b, 3, h // 8, w // 8, 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(b, 3, h, w)
    out = (mix(TO_RGB, ycc) + 128) / 255
    return torch.where(quality.view(b, 1, 1, 1) > 0, out, im)


def finish(im, inside, pal, cam, k):
    """Everything behind the lens: [B, 3, H, W] -> uint8-valued picture in [0, 1]."""
    b, _, h, w = im.shape
    y = (torch.arange(h, device=im.device) / h - 0.5)[None, :, None]
    x = (torch.arange(w, device=im.device) / w - 0.5)[None, None, :]
    im = torch.lerp(pal[:, 8, :, None, None], im, inside[:, None])
    im = im * (1 + column(cam, "light_x") * x + column(cam, "light_y") * y)[:, None]
    im = blur(blur(im, column(cam, "blur_x"), 3), column(cam, "blur_y"), 2)
    grain = (
        torch.randn(b, 1, h // 2, 1, w // 2, 1, device=im.device)
        .expand(b, 1, h // 2, 2, w // 2, 2)
        .reshape(b, 1, h, w)
    )
    im = (
        im
        + torch.randn(b, 1, h, w, device=im.device) * column(cam, "noise")[:, None]
        + grain * column(cam, "grain")[:, None]
    )
    im = im + torch.randn(b, 3, h, w, device=im.device) * column(cam, "colour_noise")[:, None]
    im = jpeg(im.clamp(0, 1), cam[:, AT["jpeg"]], k)
    return torch.round(im.clamp(0, 1) * 255) / 255


def patches(im):
    """[B, 3, H, W] in [0, 1] -> layer-normalised patches [B * rows * cols, 6912], channel fastest."""
    b, _, h, w = im.shape
    u = (
        im.view(b, 3, h // PATCH, PATCH, w // PATCH, PATCH)
        .permute(0, 2, 4, 3, 5, 1)
        .reshape(-1, PATCH * PATCH * 3)
    )
    var, mean = torch.var_mean(u, -1, keepdim=True, unbiased=False)
    return (u - mean) * torch.rsqrt(var + LN_EPS)


class Camera:
    """Applies looks to batches, `chunk` pictures at a time."""

    def __init__(self, device, compiled, chunk=16):
        self.k, self.chunk = constants(device), chunk
        self.dtype = torch.bfloat16 if compiled else torch.float32
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.paint = wrap(paint)
        self.finish = wrap(
            lambda im, inside, pal, cam, k: patches(finish(im, inside, pal, cam, k)).to(self.dtype)
        )

    @torch.no_grad()
    def __call__(self, img, pal, cam):
        out = []
        for i in range(0, img.shape[0], self.chunk):
            p, c = pal[i : i + self.chunk], cam[i : i + self.chunk]
            part = img[i : i + self.chunk]
            im, grid, inside = self.paint(part, p, c) if img.ndim == 3 else coloured(part, c)
            im = F.grid_sample(im, grid, mode="bilinear", padding_mode="border", align_corners=False)
            out.append(self.finish(im, inside, p, c, self.k))
        return torch.cat(out)
