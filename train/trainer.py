"""The training step: network, optimisers, and CUDA graphs, one per batch shape (feed.keys) and one for the update."""
import os, sys, time
import numpy as np, torch, torch.nn as nn
import torch.distributed as dist
import export, feed, model, pixels, sounds, tokenizer
from muon import Muon

RANK, WORLD = (int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1)))
GPU = torch.cuda.is_available()
DEVICE = "cuda:0" if GPU else "cpu"
START = time.time()
BF16_PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense, by the vendor's data sheets


def say(*words):
    if RANK == 0:
        print(f"{time.time() - START:6.1f}s", *words, flush=True)


def peak():
    """FLOP/s of the card in bf16, nan where it is not known."""
    name = torch.cuda.get_device_name() if GPU else ""
    return next((v for k, v in BF16_PEAK.items() if k in name), float("nan"))


class Trainer:
    def __init__(self, a):
        self.a, self.step, self.seen = a, 0, 0
        torch.manual_seed(a.seed)
        self.net = model.Net(feed.LONGEST, **feed.HEADS).to(DEVICE)
        if a.start:
            state = {k: torch.from_numpy(np.array(v)) for k, v in export.read(a.start).items()}
            say("started from", a.start, self.net.load_state_dict(state, strict=False))
        self.camera = pixels.Camera(DEVICE, GPU)
        self.params = [p for p in self.net.parameters()]
        self.flat = torch.zeros(sum(p.numel() for p in self.params), device=DEVICE)
        self.sum = torch.zeros_like(self.flat, dtype=torch.bfloat16 if GPU else torch.float32)
        at = 0
        for p in self.params:  # gradients are views of one buffer, so that one all-reduce serves
            p.grad = self.flat[at : at + p.numel()].view_as(p)
            at += p.numel()
        named = [(n, p) for n, p in self.net.named_parameters()]
        hidden = lambda n, p: a.optimizer == "muon" and n.startswith("layers.") and p.ndim == 2
        decayed = lambda n, p: p.ndim == 2 and "pos_" not in n
        groups = [
            dict(params=[p for n, p in named if decayed(n, p) and not hidden(n, p)], weight_decay=0.05),
            dict(params=[p for n, p in named if not decayed(n, p)], weight_decay=0),
        ]
        self.lr, self.aux = torch.zeros((), device=DEVICE), torch.zeros((), device=DEVICE)
        fast = dict(lr=self.lr, fused=True, capturable=True) if GPU else dict(lr=a.lr)
        self.optimizers = [torch.optim.AdamW(groups, betas=(0.9, 0.95), **fast)]
        if a.optimizer == "muon":
            self.optimizers.append(Muon([p for n, p in named if hidden(n, p)], self.lr, 0.05))
        self.now = torch.zeros(3, device=DEVICE)  # this step's ce, pictures' and sounds' auxiliary losses
        self.sums = {n: torch.zeros(4, device=DEVICE) for n in feed.RECIPES}  # the same by recipe, and steps
        self.norm = torch.zeros((), device=DEVICE)
        self.inputs, self.graphs, self.update_graph, self.pool = {}, {}, None, None
        self.bytes = torch.zeros(feed.SLOT, dtype=torch.uint8, device=DEVICE)  # pictures and frames of all shapes
        say(
            f"torch {torch.__version__}, {WORLD} x {torch.cuda.get_device_name() if GPU else 'CPU'}, "
            f"{self.flat.numel() / 1e6:.2f} M parameters with auxiliary heads, {a.optimizer}"
        )

    def static(self, key):
        """The tensors that the graph of this key reads, by feed.batch's names."""
        if key not in self.inputs:
            rows, cols, length, n = feed.shape(key)
            h, w, soft, heard = rows * model.PATCH, cols * model.PATCH, rows * cols, feed.sounding(key)
            z = lambda *s, t=torch.long: torch.zeros(*s, dtype=t, device=DEVICE)
            x, at = dict(ids=z(n, length), labels=z(n, length)), 0
            if soft:
                colour = key[0] == feed.COLOUR
                at = n * h * w * (3 if colour else 1)
                x["image"] = self.bytes[:at].view((n, h, w, 3) if colour else (n, h, w))
                x["cams"] = torch.zeros(n, len(pixels.CAMERA), device=DEVICE)
                x["cams"][:, [0, 4]] = 1
                x["pals"] = torch.rand(n, 9, 3, device=DEVICE)
                if colour:
                    x["things"] = z(n, soft)
                else:
                    x["points"] = z(n, length)
                if not colour and self.a.characters:
                    x["cells"] = z(n, soft, model.CELLS_X * model.CELLS_Y, t=torch.uint8)
            if heard:
                size = n * heard * model.FRAME * 2
                x["frames"] = self.bytes[at : at + size].view(torch.int16).view(n, heard, model.FRAME)
                x["phones"] = z(n, heard, sounds.FINE, t=torch.uint8)
            self.inputs[key] = x
        return self.inputs[key]

    def amp(self):
        return torch.autocast("cuda" if GPU else "cpu", torch.bfloat16, enabled=GPU, cache_enabled=False)

    def forward_backward(self, key):
        rows, cols, _, n = feed.shape(key)
        b = self.static(key)
        self.flat.zero_()
        u = self.camera(b["image"], b["pals"], b["cams"]) if rows else None
        with self.amp():
            ce, seen, heard = self.net.losses(u, b, rows, cols, min(n, self.a.characters))
        (ce + self.aux * (seen + heard)).backward()
        self.now.copy_(torch.stack([ce, seen, heard]).detach())
        if WORLD > 1:
            self.sum.copy_(self.flat / WORLD)

    def update(self):
        if WORLD > 1:
            self.flat.copy_(self.sum)
        norm = self.flat.norm()
        self.flat.mul_((1 / (norm + 1e-6)).clamp(max=1))
        self.norm += norm
        for o in self.optimizers:
            o.step()

    def capture(self, f):
        g = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            g, pool=self.pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            f()
        self.pool = g.pool()
        return g

    def prepare(self):
        """Compile and capture everything at a learning rate of 0, then forget what the optimisers saw."""
        if not GPU:
            return
        self.net.compile()
        keys = feed.keys()
        for i, key in enumerate(keys):
            self.static(key)["labels"].fill_(-100)
            self.static(key)["labels"][:, -8:] = 5
            for _ in range(2):
                self.forward_backward(key)
            torch.cuda.synchronize()
            if i % 5 == 0:
                say(f"compiled {key}, {torch._dynamo.utils.counters['stats']['unique_graphs']} pieces")
        for _ in range(2):
            self.update()
        torch.cuda.synchronize()
        for key in keys:
            self.graphs[key] = self.capture(lambda: self.forward_backward(key))
        self.update_graph = self.capture(self.update)
        for o in self.optimizers:
            for s in o.state.values():
                for t in s.values():
                    t.zero_()
        for key in keys:
            if key[1]:
                continue
            torch.cuda.synchronize()
            t = time.time()
            for _ in range(8):
                self.graphs[key].replay()
            torch.cuda.synchronize()
            t = (time.time() - t) / 8
            say(f"{key}: {t * 1e3:.1f} ms, {self.flops(key) / t / 1e12:.0f} TFLOP/s, {self.flops(key) / t / peak():.1%}")
        self.norm.zero_()
        say(f"captured {len(self.graphs)} shapes, {torch.cuda.max_memory_allocated() / 2**30:.0f} GiB")

    def flops(self, key):
        rows, cols, length, n = feed.shape(key)
        images = min(n, self.a.characters) if key[0] in (feed.DRAWING, feed.SPOKEN) else 0
        return model.flops(self.net, n, length, rows * cols, feed.sounding(key), images)

    def one_step(self, name, key, lr, aux):
        self.lr.fill_(lr)
        self.aux.fill_(aux)
        if not GPU:
            for group in self.optimizers[0].param_groups:
                group["lr"] = lr
        self.graphs[key].replay() if self.graphs else self.forward_backward(key)
        self.sums[name][:3] += self.now
        self.sums[name][3] += 1
        if WORLD > 1:
            dist.all_reduce(self.sum)
        self.update_graph.replay() if self.update_graph else self.update()
        self.step += 1
        self.seen += feed.shape(key)[3] * WORLD

    def losses(self):
        """'recipe ce/auxiliary …' since the last call, and the mean gradient norm."""
        out, steps = [], 0
        for name, s in self.sums.items():
            ce, seen, heard, n = s.tolist()
            if n:
                out.append(f"{name} {ce / n:.3f}" + (f"/{(seen + heard) / n:.2f}" if seen + heard else ""))
                steps += n
            s.zero_()
        norm = self.norm.item() / max(1, steps)
        self.norm.zero_()
        return ", ".join(out) + f", norm {norm:.2f}"

    def state(self):
        moments = [
            {i: {k: v.cpu() for k, v in s.items()} for i, s in enumerate(o.state.values())}
            for o in self.optimizers
        ]
        return dict(net=self.net.state_dict(), moments=moments, step=self.step, seen=self.seen)

    def load(self, s):
        self.net.load_state_dict(s["net"])
        for o, m in zip(self.optimizers, s["moments"]):
            for i, mine in enumerate(o.state.values()):
                for k, v in mine.items():
                    v.copy_(m[i][k])
        self.step, self.seen = s["step"], s["seen"]

    @torch.no_grad()
    def forced(self, samples):
        """Teacher-forced on fixed batches, eagerly: for each, characters right and whole answers right. A whole answer
        right is one that the model would also have given on its own.
        """
        parts, self.net.parts = self.net.parts, dict(
            before=model.before, after=model.after, loss=model.token_loss
        )
        camera, out = pixels.Camera(DEVICE, False), []
        for name, key, arrays in samples:
            rows, cols, length, n = feed.shape(key)
            b = {k: torch.from_numpy(v).to(DEVICE) for k, v in arrays.items()}
            u = camera(b["image"], b["pals"], b["cams"]).to(self.camera.dtype) if rows else None
            with self.amp():
                x = self.net.stream(u, b["ids"].long(), rows, cols, b.get("frames"))[0]
                lg = self.net.logits(x).view(n, length, -1)
            labels = b["labels"].long()
            used = labels != -100
            hit = (lg.argmax(-1) == labels) | ~used
            right = (hit & used).sum().item() / used.sum().item()
            ends = (labels == tokenizer.END).long()
            answer = ends.cumsum(1) - ends  # of a chat with several
            wrong = torch.zeros_like(labels).scatter_add_(1, answer, (~hit).long())
            whole = (wrong == 0) & (torch.arange(length, device=DEVICE)[None] < ends.sum(1, keepdim=True))
            out.append(f"{name} {right:.3f} {whole.sum().item() / ends.sum().item():.2f}")
        self.net.parts = parts
        return ", ".join(out)


def save(t, folder):
    state = {k: v.float().cpu().numpy() for k, v in t.net.state_dict().items()}
    say(f"exported {export.write(state, folder) / 2**20:.1f} MiB to {folder}")
