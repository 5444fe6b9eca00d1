"""Train models/mini. On one GPU: python3 train.py --seconds 1100 --out out; on several: torchrun
--nproc_per_node=N train.py ...

Steps are captured as CUDA graphs, one per batch shape (feed.GRIDS x feed.LENGTHS), and one for the optimiser;
between them the gradients are averaged over the ranks. Rank 0's clock gives the progress 0 .. 1, which gives
curriculum and learning rate. TINY=1 on a CPU tests the code: python3 train.py --steps 3 --workers 1 with half
the layers and two pictures a batch.
"""
import argparse, os, sys, time

RANK, WORLD, LOCAL = (
    int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
)
if WORLD > 1:  # every rank calls its GPU cuda:0: the compiler's cache knows code by the device's number
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get(
        "CUDA_VISIBLE_DEVICES", ",".join(map(str, range(64)))
    ).split(",")[LOCAL]
import numpy as np, torch, torch.nn as nn
import torch.distributed as dist
import export, feed, glyphs, model, pixels
from muon import Muon

GPU = torch.cuda.is_available()
DEVICE = "cuda:0" if GPU else "cpu"
START = time.time()


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float, default=1100, help="training time, without start-up and export")
    a.add_argument("--out", default="out/mini", help="folder of the checkpoint")
    a.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    a.add_argument("--lr", type=float, default=1.2e-3)
    a.add_argument(
        "--decay-from", type=float, default=0.5, help="progress at which the learning rate begins to fall"
    )
    a.add_argument("--aux", type=float, default=0.5, help="weight of the auxiliary losses")
    a.add_argument(
        "--snapshot",
        type=float,
        default=0,
        help="also export to OUT.snapshot at this progress, and save the state there",
    )
    a.add_argument("--resume", help="a state saved by --snapshot")
    a.add_argument("--start", help="a checkpoint to start from (weights only)")
    a.add_argument("--workers", type=int, default=max(1, min(15, (os.cpu_count() or 2) // WORLD - 1)))
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--steps", type=int, default=0, help="stop after so many steps")
    return a.parse_args()


def say(*words):
    if RANK == 0:
        print(f"{time.time() - START:6.1f}s", *words, flush=True)


class Trainer:
    def __init__(self, a):
        self.a, self.step, self.images_seen = a, 0, 0
        torch.manual_seed(a.seed)
        self.net = model.Net(feed.CLASSES, feed.LENGTHS[-1][0]).to(DEVICE)
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
        self.lr = torch.zeros((), device=DEVICE)
        fast = dict(lr=self.lr, fused=True, capturable=True) if GPU else dict(lr=a.lr)
        self.optimizers = [torch.optim.AdamW(groups, betas=(0.9, 0.95), **fast)]
        if a.optimizer == "muon":
            self.optimizers.append(Muon([p for n, p in named if hidden(n, p)], self.lr, 0.05))
        self.stats = torch.zeros(4, device=DEVICE)  # sums of ce, bag, grid, gradient norm
        self.inputs, self.graphs, self.update_graph, self.pool = {}, {}, None, None
        self.image_buffer = torch.zeros(feed.LENGTHS[0][1] * feed.LARGEST, dtype=torch.uint8, device=DEVICE)
        say(
            f"torch {torch.__version__}, {WORLD} x {torch.cuda.get_device_name() if GPU else 'CPU'}, "
            f"{self.flat.numel() / 1e6:.2f} M parameters with auxiliary heads, {a.optimizer}"
        )

    def shapes(self, key):
        rows, cols, _ = feed.GRIDS[key[0]]
        return (rows, cols, *feed.LENGTHS[key[1]][:2])

    def static(self, key):
        """The tensors that the graph of this key reads."""
        if key not in self.inputs:
            rows, cols, length, n = self.shapes(key)
            h, w = rows * model.PATCH, cols * model.PATCH
            z = lambda *s, t=torch.long: torch.zeros(*s, dtype=t, device=DEVICE)
            cam = torch.zeros(n, len(pixels.CAMERA), device=DEVICE)
            cam[:, [0, 4]] = 1
            self.inputs[key] = (
                self.image_buffer[: n * h * w].view(n, h, w),
                z(n, length),
                z(n, length),
                z(n, rows * cols, model.CELLS_X * model.CELLS_Y, t=torch.uint8),
                torch.rand(n, 9, 3, device=DEVICE),
                cam,
            )
        return self.inputs[key]

    def amp(self):
        return torch.autocast("cuda" if GPU else "cpu", torch.bfloat16, enabled=GPU, cache_enabled=False)

    def forward_backward(self, key):
        rows, cols, _, n = self.shapes(key)
        img, ids, labels, cells, pal, cam = self.static(key)
        self.flat.zero_()
        u = self.camera(img, pal, cam)
        with self.amp():
            ce, bag, grid = self.net.losses(u, ids, labels, cells, rows, cols, min(n, 32))
        (ce + self.a.aux * (bag + grid)).backward()
        self.stats[:3] += torch.stack([ce, bag, grid]).detach()
        if WORLD > 1:
            self.sum.copy_(self.flat / WORLD)

    def update(self):
        if WORLD > 1:
            self.flat.copy_(self.sum)
        norm = self.flat.norm()
        self.flat.mul_((1 / (norm + 1e-6)).clamp(max=1))
        self.stats[3] += norm
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
        keys = [(g, l) for l in range(len(feed.LENGTHS)) for g in range(len(feed.GRIDS))]
        for key in keys:
            self.static(key)[2].fill_(-100)
            self.static(key)[2][:, -8:] = 5
            for _ in range(2):
                self.forward_backward(key)
            torch.cuda.synchronize()
            if key[1] == 0:
                say(
                    f"compiled grid {key[0]}, {torch._dynamo.utils.counters['stats']['unique_graphs']} pieces"
                )
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
        for key in keys[0], keys[5], keys[10]:
            torch.cuda.synchronize()
            t = time.time()
            for _ in range(8):
                self.graphs[key].replay()
            torch.cuda.synchronize()
            t = (time.time() - t) / 8
            rows, cols, length, n = self.shapes(key)
            rate = model.flops(self.net, n, length, rows * cols, min(n, 32)) / t
            say(f"key {key}: {t * 1e3:.1f} ms, {rate / 1e12:.0f} TFLOP/s")
        self.stats.zero_()
        say(f"captured {len(self.graphs)} shapes, {torch.cuda.max_memory_allocated() / 2**30:.0f} GiB")

    def one_step(self, key, lr):
        self.lr.fill_(lr)
        if not GPU:
            for group in self.optimizers[0].param_groups:
                group["lr"] = lr
        self.graphs[key].replay() if self.graphs else self.forward_backward(key)
        if WORLD > 1:
            dist.all_reduce(self.sum)
        self.update_graph.replay() if self.update_graph else self.update()
        self.step += 1
        self.images_seen += self.shapes(key)[3] * WORLD

    def state(self):
        moments = [
            {i: {k: v.cpu() for k, v in s.items()} for i, s in enumerate(o.state.values())}
            for o in self.optimizers
        ]
        return dict(net=self.net.state_dict(), moments=moments, step=self.step, images=self.images_seen)

    def load(self, s):
        self.net.load_state_dict(s["net"])
        for o, m in zip(self.optimizers, s["moments"]):
            for i, mine in enumerate(o.state.values()):
                for k, v in mine.items():
                    v.copy_(m[i][k])
        self.step, self.images_seen = s["step"], s["images"]

    @torch.no_grad()
    def forced(self, samples):
        """Teacher-forced on fixed samples, eagerly: (cross-entropy, characters right, whole answers right).
        """
        parts, self.net.parts = self.net.parts, dict(
            before=model.before, after=model.after, loss=model.token_loss
        )
        total, right, count, whole, answers = 0.0, 0, 0, 0, 0
        camera = pixels.Camera(DEVICE, False)
        for key, images, ids, labels, _, pals, cams in samples:
            rows, cols, length, n = self.shapes(key)
            images, ids, labels, pals, cams = (
                torch.from_numpy(z).to(DEVICE) for z in (images, ids, labels, pals, cams)
            )
            u = camera(images, pals, cams).to(self.camera.dtype)
            with self.amp():
                lg = self.net.logits(self.net.stream(u, ids.long(), rows, cols)[0]).view(n, length, -1)
            labels = labels.long()
            total += nn.functional.cross_entropy(
                lg.view(n * length, -1), labels.view(-1), ignore_index=-100, reduction="sum"
            ).item()
            used = labels != -100
            hit = (lg.argmax(-1) == labels) | ~used
            right += (hit & used).sum().item()
            count += used.sum().item()
            whole += hit.all(1).sum().item()
            answers += n
        self.net.parts = parts
        return f"ce {total / count:.4f} characters {right / count:.4f} whole answers {whole / answers:.3f}"


def held_out_samples():
    """Boards in held-out families with the final mixture, for the curves in the log."""
    import random

    r, atlas, out = random.Random(99), glyphs.Atlas(glyphs.load_faces(True)), []
    for key in ((0, 2), (1, 1), (2, 2)) if GPU else ((0, 0),):
        rows, cols, _ = feed.GRIDS[key[0]]
        images = np.zeros((feed.LENGTHS[key[1]][1], rows * model.PATCH, cols * model.PATCH), np.uint8)
        out.append((key, images, *feed.batch(r, atlas, key, 1.0, images, held=True, rough=1.0)))
    return out


def train(t, data, a, begin):
    samples = held_out_samples() if RANK == 0 else None
    clock = torch.tensor([begin], dtype=torch.float64, device=DEVICE)
    t0, mark, wait, count, ops = time.time(), time.time(), 0.0, 0, 0.0
    copies = torch.cuda.Stream() if GPU else None
    staged, snapshot, evaluated = None, a.snapshot > begin, 0

    def stage():
        """Fetch a batch and copy it to the GPU beside the running step."""
        nonlocal wait
        w = time.time()
        token, key, image, *arrays = data.next()
        wait += time.time() - w
        image = torch.from_numpy(image)
        if not GPU:
            return token, key, [image.clone(), *map(torch.from_numpy, arrays)], None
        with torch.cuda.stream(copies):
            here = [
                image.to(DEVICE, non_blocking=True),
                *(torch.from_numpy(z).pin_memory().to(DEVICE, non_blocking=True) for z in arrays),
            ]
            e = torch.cuda.Event()
            e.record()
        return token, key, here, e

    progress, ahead = begin, []
    while True:
        if t.step % 20 == 0:
            clock[0] = begin + (time.time() - t0) / a.seconds
            if WORLD > 1:
                dist.broadcast(clock, 0)
            progress = clock.item()
            data.progress.value = progress
            if progress >= 1:
                break
        if a.steps and t.step >= a.steps:
            break
        token, key, here, e = staged or stage()
        into = t.static(key)
        if GPU:
            torch.cuda.current_stream().wait_event(e)
        for dst, src in zip(into, here):
            dst.copy_(src.view(dst.shape))
            if GPU:
                src.record_stream(torch.cuda.current_stream())
        lr = a.lr * min(1, (t.step + 1) / 200) * min(1, max(0.01, (1 - progress) / (1 - a.decay_from)))
        t.one_step(key, lr)
        rows, cols, length, n = t.shapes(key)
        ops += model.flops(t.net, n, length, rows * cols, min(n, 32))
        count += n
        staged = stage()
        if e is not None:
            e.synchronize()
            done = torch.cuda.Event()
            done.record()
            ahead.append(done)
            if len(ahead) > 3:
                ahead.pop(0).synchronize()
        data.release(token)
        if t.step % 200 == 0 or not GPU:
            s, dt = (t.stats / (200 if GPU else 1)).tolist(), time.time() - mark
            t.stats.zero_()
            say(
                f"{progress:.3f} step {t.step} ce {s[0]:.4f} bag {s[1]:.3f} grid {s[2]:.3f} norm {s[3]:.2f} "
                f"lr {lr:.5f} "
                f"{count * WORLD / dt:.0f} boards/s {ops / dt / 1e12:.0f} TFLOP/s a GPU, wait {wait / dt:.2f}"
            )
            mark, wait, count, ops = time.time(), 0.0, 0, 0.0
        if RANK == 0 and progress >= evaluated + 0.05:
            evaluated += 0.05
            say("      held-out families:", t.forced(samples))
        if snapshot and progress >= a.snapshot:
            snapshot = False
            if RANK == 0:
                save(t, a.out + ".snapshot")
                torch.save(dict(t.state(), progress=progress), a.out + ".state")
                say("snapshot")
    say(f"trained {time.time() - t0:.0f} s, {t.step} steps, {t.images_seen} pictures")
    if RANK == 0:
        say("held-out families:", t.forced(samples))


def save(t, folder):
    state = {
        k: v.float().cpu().numpy()
        for k, v in t.net.state_dict().items()
        if not k.startswith(("bag.", "grid."))
    }
    say(f"exported {export.write(state, folder) / 2**20:.1f} MiB to {folder}")


def main():
    a = arguments()
    data = feed.Feed(glyphs.load_faces(False), a.workers, a.seed + 17 * RANK + (1000 if a.resume else 0))
    torch.set_float32_matmul_precision("high")
    if GPU:
        torch.cuda.set_device(0)
        torch._dynamo.config.recompile_limit = 64
        for m in data.memory:  # pinned, so that copies run beside the step
            torch.cuda.check_error(torch.cuda.cudart().cudaHostRegister(m.ctypes.data, m.nbytes, 0))
        torch.cuda.set_stream(torch.cuda.Stream())  # one stream for warm-up, capture and replay
    if WORLD > 1:
        dist.init_process_group("nccl", device_id=torch.device(DEVICE))
    t = Trainer(a)
    t.prepare()
    begin = 0.0
    if a.resume:
        s = torch.load(a.resume, map_location=DEVICE)
        t.load(s)
        begin = s["progress"]
        say(f"resumed at {begin:.3f}")
    if WORLD > 1:
        dist.barrier()
    train(t, data, a, begin)
    if RANK == 0:
        save(t, a.out)
    if WORLD > 1:
        dist.barrier()
    data.close()
    sys.stdout.flush()
    os._exit(0)  # no destructors: graphs, communicator and pinned memory go with the process


if __name__ == "__main__":
    main()
