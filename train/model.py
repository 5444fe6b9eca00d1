"""The network of models/mini: the published architecture at a small geometry, written for training speed.

Tokens are flattened to [N, D] with N = batch * length. Every batch shape has the same N, so the pieces that
torch.compile sees (`before`, `after`, `loss`) are compiled once however many picture grids and text lengths
there are. Attention stays outside of them: the flash kernels need no mask, because each sequence starts with
the same number of tokens before its picture.
"""
import os
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
import tokenizer

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, GLOBAL_HEAD_DIM, FEED, MM = 512, 12, 8, 4, 64, 128, 1280, 768
PATCH, PIXELS = 48, 48 * 48 * 3
VOCAB, SOFTCAP, RMS_EPS, LN_EPS = tokenizer.VOCAB_SIZE, 30.0, 1e-6, 1e-5
EMBED_SCALE = 22.625  # sqrt(512) in bfloat16
LEAD = 5  # <bos> <|turn> user \n <|image>
FRAME, AUDIO_EPS = 640, 1e-3  # samples of a soft token of sound; at 1e-6 the norm would erase loudness
AUXILIARY = ("bag", "grid", "things", "phones", "where", "match")  # heads that are no part of the checkpoint
POS_X, POS_Y = (
    24,
    20,
)  # columns and rows of patches that training may use; export.py fills the rest of the table
if os.environ.get("TINY"):  # a test of the code on a CPU
    LAYERS = 6
# the layers behind which the auxiliary heads read the stream: the characters of a patch; where on the board a question's
# characters stand; which picture, which phoneme; where the next character of the answer stands. A model that only reads
# does that in its last three layers: what it should find has to be found before.
CHARACTERS, MATCH, NAMES, WHERE = (LAYERS * n // 12 for n in (4, 6, 7, 8))
POINT = 64  # size of the vectors by which a position points at a patch
CELLS_Y, CELLS_X = 3, 6  # the auxiliary grid: 16 x 8 pixels a cell


def is_full(layer):
    return layer % 6 == 5


class RMSNorm(nn.Module):
    def __init__(self, size, scale=True, init=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), float(init))) if scale else None

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + RMS_EPS)
        return (y if self.weight is None else y * self.weight).to(x.dtype)


def rope_tables(length, head_dim, theta, part):
    """cos, sin [length, head_dim / 2]; only the first part of the pairs turns, with the full head_dim in the
    exponent.
    """
    n = int(part * head_dim / 2)
    f = torch.zeros(head_dim // 2)
    f[:n] = theta ** (-2 * torch.arange(n).double() / head_dim).float()
    a = torch.arange(length)[:, None] * f[None]
    return a.cos(), a.sin()


def rotate(x, cos, sin):
    h = x.shape[-1] // 2
    a, b = x[..., :h], x[..., h:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, full):
        super().__init__()
        self.full = full
        self.dim = GLOBAL_HEAD_DIM if full else HEAD_DIM
        self.kv = 1 if full else KV_HEADS
        # post-norms start small: twelve layers of branches then add up to about the size of the embedding
        self.norm_in, self.norm_attn = RMSNorm(HIDDEN), RMSNorm(HIDDEN, init=0.3)
        self.norm_mlp, self.norm_out = RMSNorm(HIDDEN), RMSNorm(HIDDEN, init=0.3)
        self.q = nn.Linear(HIDDEN, HEADS * self.dim, bias=False)
        self.k = nn.Linear(HIDDEN, self.kv * self.dim, bias=False)
        self.v = None if full else nn.Linear(HIDDEN, self.kv * self.dim, bias=False)
        self.o = nn.Linear(HEADS * self.dim, HIDDEN, bias=False)
        # the attention scale is 1 on normalised q and k: without this the logits start at a standard
        # deviation of 8
        self.q_norm, self.k_norm, self.v_norm = (
            RMSNorm(self.dim, init=self.dim**-0.5),
            RMSNorm(self.dim),
            RMSNorm(self.dim, False),
        )
        self.gate, self.up = nn.Linear(HIDDEN, FEED, bias=False), nn.Linear(HIDDEN, FEED, bias=False)
        self.down = nn.Linear(FEED, HIDDEN, bias=False)


def before(layer, x, cos, sin):
    """x [N, D], cos/sin [N, 1, dim/2] -> q, k, v [N, HEADS, dim], k and v repeated to all heads."""
    n = x.shape[0]
    h = layer.norm_in(x)
    q = layer.q_norm(layer.q(h).view(n, HEADS, layer.dim))
    k0 = layer.k(h).view(n, layer.kv, layer.dim)
    v = layer.v_norm(k0 if layer.v is None else layer.v(h).view(n, layer.kv, layer.dim))
    q, k = rotate(q, cos, sin), rotate(layer.k_norm(k0), cos, sin)
    r = HEADS // layer.kv
    wide = lambda z: z[:, :, None].expand(n, layer.kv, r, layer.dim).reshape(n, HEADS, layer.dim)
    return q, wide(k), wide(v)


def after(layer, x, a):
    x = x + layer.norm_attn(layer.o(a))
    h = layer.norm_mlp(x)
    return x + layer.norm_out(layer.down(F.gelu(layer.gate(h), approximate="tanh") * layer.up(h)))


if hasattr(F, "scaled_dot_product_attention"):
    sdpa = F.scaled_dot_product_attention
else:  # old torch, for tests on a CPU

    def sdpa(q, k, v, is_causal=False, scale=1.0):
        a = q @ k.transpose(-1, -2) * scale
        if is_causal:
            a = a.masked_fill(~torch.ones(a.shape[-2:], dtype=torch.bool).tril(), -1e9)
        return a.softmax(-1) @ v


def attention(layer, q, k, v, batch, soft):
    """Causal; on sliding layers the picture's tokens also see one another both ways. (No sequence exceeds the
    window.)
    """
    n = q.shape[0]
    q, k, v = (z.view(batch, n // batch, HEADS, layer.dim).transpose(1, 2) for z in (q, k, v))
    a = sdpa(q, k, v, is_causal=True, scale=1.0)
    if soft and not layer.full:
        e = LEAD + soft
        a = torch.cat(
            [a[:, :, :LEAD], sdpa(q[:, :, LEAD:e], k[:, :, :e], v[:, :, :e], scale=1.0), a[:, :, e:]], 2
        )
    return a.transpose(1, 2).reshape(n, HEADS * layer.dim)


class Front(nn.Module):
    """Patches to soft tokens. Its input is already layer-normalised; patch_ln1's weight and bias would only
    repeat patch_dense's freedom, so they stay 1 and 0."""

    def __init__(self):
        super().__init__()
        self.dense, self.norm2, self.norm3 = (
            nn.Linear(PIXELS, MM),
            nn.LayerNorm(MM, LN_EPS),
            nn.LayerNorm(MM, LN_EPS),
        )
        self.pos_x, self.pos_y = nn.Parameter(torch.randn(POS_X, MM) * 0.3), nn.Parameter(
            torch.randn(POS_Y, MM) * 0.3
        )
        self.proj = nn.Linear(MM, HIDDEN, bias=False)

    def forward(self, u, rows, cols):
        """u [batch * rows * cols, 6912] -> [batch, rows * cols, D]"""
        p = self.norm2(self.dense(u)).view(-1, rows * cols, MM)
        p = self.norm3(p + (self.pos_y[:rows, None] + self.pos_x[None, :cols]).reshape(rows * cols, MM))
        return self.proj(p * torch.rsqrt(p.float().pow(2).mean(-1, keepdim=True) + RMS_EPS).to(p.dtype))


def filterbank():
    """[HIDDEN, FRAME], where the audio projection begins: windowed sines and cosines, four windows of 10 ms, up to
    6.4 kHz.
    """
    out = np.zeros((HIDDEN, FRAME), np.float32)
    t = np.arange(FRAME // 4)
    window = np.sin(np.pi * (t + 0.5) / len(t))
    for i in range(HIDDEN):
        part, k = i % 4, i // 4
        f = 6400 * (k // 2 + 1) / (HIDDEN // 8)
        row = window * (np.cos if k % 2 else np.sin)(2 * np.pi * f * t / 16000)
        out[i, part * len(t) : (part + 1) * len(t)] = row / np.linalg.norm(row)
    return torch.from_numpy(out)


class Sound(nn.Module):
    """Frames of samples to soft tokens; zeros stay zeros."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(FRAME, HIDDEN, bias=False)

    def forward(self, frames):
        """int16 [..., FRAME] -> [..., D]"""
        x = frames.float() / 32768
        return self.proj(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + AUDIO_EPS))


class Net(nn.Module):
    def __init__(self, longest, classes, things, phones):
        """Sizes of the auxiliary heads: characters, pictures with names, phoneme classes x labels a soft token."""
        super().__init__()
        self.classes, self.phone_classes = classes, phones
        self.embed = nn.Embedding(VOCAB, HIDDEN)
        self.front, self.sound = Front(), Sound()
        self.layers = nn.ModuleList(Layer(is_full(i)) for i in range(LAYERS))
        self.norm = RMSNorm(HIDDEN, init=1.5)
        # auxiliary heads, dropped at export: which characters a patch holds, which one each of its cells holds, which
        # picture lies on a patch, which phoneme sounds in each 10 ms; on which patch the answer's next character stands, and
        # a question's own
        self.bag, self.grid = nn.Linear(HIDDEN, classes - 1), nn.Linear(HIDDEN, CELLS_Y * CELLS_X * classes)
        self.things, self.phones = nn.Linear(HIDDEN, things + 1), nn.Linear(HIDDEN, phones * 4)
        self.where, self.match = (nn.Linear(HIDDEN, 2 * POINT, bias=False) for _ in range(2))
        for name, p in self.named_parameters():
            if p.ndim == 2 and "pos_" not in name:
                nn.init.normal_(p, std=p.shape[1] ** -0.5)
        with torch.no_grad():
            self.sound.proj.weight.copy_(filterbank())
            # new heads say nothing at first, and so do not pull at a network that has learnt already: with random ones
            # the gradient of a trained network was 50 times that of its answers
            for head in (self.bag, self.grid, self.things, self.phones):
                head.weight.zero_()
            for head in (self.where, self.match):
                head.weight[POINT:].zero_()
            self.bag.bias.fill_(-4)  # a patch holds few characters
        tables = rope_tables(longest, HEAD_DIM, 1e4, 1.0) + rope_tables(longest, GLOBAL_HEAD_DIM, 1e6, 0.25)
        for name, t in zip(("cos_s", "sin_s", "cos_f", "sin_f"), tables):
            self.register_buffer(name, t, persistent=False)
        # most cells, patches and moments are empty
        light = lambda n, w: torch.tensor([w] + [1.0] * (n - 1))
        self.register_buffer("cell_weight", light(classes, 0.05), persistent=False)
        self.register_buffer("thing_weight", light(things + 1, 0.05), persistent=False)
        self.register_buffer("phone_weight", light(phones, 0.3), persistent=False)
        ids = torch.arange(VOCAB)
        ids[tokenizer.AUDIO] = -1  # soft tokens of sound have no embedding: what is added there is the sound
        self.register_buffer("ids", ids, persistent=False)
        self.parts = dict(before=before, after=after, loss=token_loss)

    def compile(self):
        self.parts = {k: torch.compile(f, dynamic=False) for k, f in self.parts.items()}

    def stream(self, u, ids, rows, cols, frames=None, keep=None):
        """u: normalised patches, or None; ids [B, T] with picture positions in place; frames int16 [B, positions behind
        the picture, FRAME] or None; keep: a dictionary for {is a layer full: (k, v) [N, heads, dim] of the last such layer}.
        Returns (x [N, D], {layer: x behind it, [B, T, D]} for the auxiliary heads).
        """
        batch, length, soft = ids.shape[0], ids.shape[1], rows * cols
        text = torch.cat([ids[:, :LEAD], ids[:, LEAD + soft :]], 1) if soft else ids
        # one-hot times the table: its backward is a matrix product instead of a scatter over few rows
        e = ((text[..., None] == self.ids).to(self.embed.weight.dtype) @ self.embed.weight) * EMBED_SCALE
        e = e.float()
        lead, rest = e[:, :LEAD], e[:, LEAD:]
        if frames is not None and soft:
            rest = rest + self.sound(frames).float()
        elif frames is not None:
            e = e + self.sound(frames).float()
        x = torch.cat([lead, self.front(u, rows, cols).float(), rest], 1) if soft else e
        x = x.reshape(batch * length, HIDDEN)
        table = lambda t: t[:length].repeat(batch, 1)[:, None]
        ropes = {
            full: (table(c), table(s))
            for full, c, s in ((False, self.cos_s, self.sin_s), (True, self.cos_f, self.sin_f))
        }
        behind = {}
        for i, layer in enumerate(self.layers):
            q, k, v = self.parts["before"](layer, x, *ropes[layer.full])
            x = self.parts["after"](layer, x, attention(layer, q, k, v, batch, soft))
            if keep is not None:
                keep[layer.full] = k, v
            if i in (CHARACTERS, MATCH, NAMES, WHERE):
                behind[i] = x.view(batch, length, HIDDEN)
        return x, behind

    def logits(self, x):
        return softcap(self.norm(x) @ self.embed.weight.t())

    def losses(self, u, b, rows, cols, images):
        """(cross-entropy of the answers, auxiliary loss of the pictures, auxiliary loss of the sounds).

        b: tensors of feed.batch; images: pictures on which the characters' heads are trained, may be 0.
        """
        batch, length = b["ids"].shape
        x, behind = self.stream(u, b["ids"], rows, cols, b.get("frames"))
        ce = self.parts["loss"](self, x, b["labels"].reshape(-1))
        soft, none = rows * cols, torch.zeros((), device=x.device)
        seen, heard, first = none, none, LEAD + soft if soft else 0
        patches = {layer: x[:, LEAD : LEAD + soft] for layer, x in behind.items()}
        rest = {layer: x[:, first:] for layer, x in behind.items()}
        if "things" in b:
            z = self.things(patches[NAMES]).float().flatten(0, 1)
            seen = F.cross_entropy(z, b["things"].reshape(-1).long(), weight=self.thing_weight)
        if "cells" in b and images:
            seen = sum(self.characters(patches[CHARACTERS][:images].flatten(0, 1), b["cells"][:images]))
        if "points" in b:
            points, says = b["points"][:, first:], b["labels"][:, first:] != -100
            for layer, head, used in ((WHERE, self.where, says), (MATCH, self.match, ~says)):
                labels = torch.where(used, points.long(), -100)
                seen = seen + pointing(head, rest[layer], patches[layer], labels)
        if "phones" in b:
            z = self.phones(rest[NAMES]).float().view(-1, self.phone_classes)
            labels = b["phones"].reshape(-1).long()
            labels = torch.where(labels == 255, -100, labels)
            heard = F.cross_entropy(z, labels, weight=self.phone_weight, ignore_index=-100)
        return ce, seen, heard

    def characters(self, h, cells):
        """Losses of the characters' heads: those in a patch, and those in its cells."""
        cells, h = cells.reshape(-1, CELLS_Y * CELLS_X).long(), unit(h)
        present = torch.zeros(cells.shape[0], self.classes, device=h.device).scatter_(1, cells, 1.0)[:, 1:]
        bag = F.binary_cross_entropy_with_logits(self.bag(h).float(), present) * (self.classes - 1) / 4
        z = self.grid(h).float().view(-1, self.classes)
        return bag, F.cross_entropy(z, cells.reshape(-1), weight=self.cell_weight)


def unit(x):
    """The stream grows from layer to layer; a head without a norm would start far too sure of itself."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + RMS_EPS)


def pointing(head, text, patches, labels):
    """Loss of a head that points from positions of the text, [B, T, D], at patches, [B, P, D]. labels [B, T]: the patch,
    -100 for none; a batch may have none at all.
    """
    z = head(unit(text))[..., :POINT] @ head(unit(patches))[..., POINT:].transpose(1, 2) * POINT**-0.5
    total = F.cross_entropy(z.float().flatten(0, 1), labels.reshape(-1), ignore_index=-100, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def softcap(z):
    return SOFTCAP * torch.tanh(z.float() / SOFTCAP)


def token_loss(net, x, labels):
    return F.cross_entropy(softcap(net.norm(x) @ net.embed.weight.t()), labels, ignore_index=-100)


def flops(net, batch, length, soft, heard, images):
    """Floating-point operations of one training step: matrices, and the half of the attention that is needed. heard:
    positions of a sequence that may hold sound; images: pictures with the characters' heads.
    """
    matrices = sum(p.numel() for l in net.layers for p in l.parameters() if p.ndim == 2)
    front = (PIXELS * MM + MM * HIDDEN) * soft + (FRAME + net.phone_classes * 4) * HIDDEN * heard
    aux = HIDDEN * (net.classes - 1 + CELLS_Y * CELLS_X * net.classes) * images * soft
    att = sum(
        length * length * HEADS * l.dim + (0 if l.full else soft * soft * HEADS * l.dim) for l in net.layers
    )
    return 6 * (batch * (matrices * length + front + HIDDEN * VOCAB * length + att) + aux)
