"""Train models/mini. On one GPU: python3 train.py --seconds 1100 --out out; on several: torchrun
--nproc_per_node=N train.py ...

Rank 0's clock gives the progress 0 .. 1, which gives mixture and learning rate. TINY=1 on a CPU tests the code:
python3 train.py --steps 9 --workers 1 with half the layers and small batches.
"""
import argparse, os, random, sys, time

if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # every rank calls its GPU cuda:0: the compiler's cache knows the number
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get(
        "CUDA_VISIBLE_DEVICES", ",".join(map(str, range(64)))
    ).split(",")[int(os.environ.get("LOCAL_RANK", 0))]
import torch
import torch.distributed as dist
import feed, glyphs
from stage import Stage
from trainer import DEVICE, GPU, RANK, START, WORLD, Trainer, peak, save, say

RUN_UP, REPORT = 200, 200  # steps


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float, default=1100, help="training time, without start-up and export")
    a.add_argument("--out", default="out/mini", help="folder of the checkpoint")
    a.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    a.add_argument("--lr", type=float, default=1.2e-3)
    a.add_argument(
        "--decay-from", type=float, default=0.5, help="progress at which the learning rate begins to fall"
    )
    a.add_argument("--aux", type=float, default=0.5, help="weight of the auxiliary losses, falling to 0")
    a.add_argument("--characters", type=int, help="pictures of a batch that train the characters' heads (default: 32, "
                   "0 with --start)")
    a.add_argument("--snapshot", type=float, default=0,
                   help="also export to OUT.snapshot at this progress, and save the state there")
    a.add_argument("--stop-after", type=float, default=0, help="stop so many seconds after the start of the program; the "
                   "state goes to OUT.state")
    a.add_argument("--resume", help="a saved state; give the other options again, --start too")
    a.add_argument("--begin", type=float, default=0, help="progress to begin with: --start goes on where a run stopped")
    a.add_argument("--finish", type=float, default=0, help="seconds for what is left, instead of --seconds for the whole")
    a.add_argument("--start", help="a checkpoint to start from (weights only); it reads already")
    a.add_argument("--workers", type=int, default=max(1, min(15, (os.cpu_count() or 2) // WORLD - 1)))
    a.add_argument("--reserve", type=int, default=32, help="batches kept for a second, varied use when none is ready; "
                   "0: each is used once")
    a.add_argument("--mix", choices=list(feed.MIXES), default="all", help="shares of the recipes (feed.MIXES)")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--steps", type=int, default=0, help="stop after so many steps")
    a.add_argument("--evaluations", type=int, default=10, help="teacher-forced evaluations on held-out material")
    a = a.parse_args()
    a.characters = (0 if a.start else 32) if a.characters is None else a.characters
    return a


def train(t, data, a, begin):
    samples = feed.held_out() if RANK == 0 else None
    clock = torch.tensor([begin, 0], dtype=torch.float64, device=DEVICE)  # progress, and whether to stop
    stage = Stage(data, a.reserve)
    staged, snapshot, evaluated = None, a.snapshot > begin, begin
    progress, ahead, ops, count = begin, [], 0.0, 0
    busy = lambda: len(ahead) > 1 and not ahead[-2].query()  # is more than one step still to do?
    t0 = mark = time.time()
    t_all, ops_all = t0, 0.0
    while True:
        if t.step % 20 == 0:
            clock[0] = begin + (time.time() - t0) / a.seconds
            clock[1] = a.stop_after and time.time() - START > a.stop_after
            if WORLD > 1:
                dist.broadcast(clock, 0)
            progress, stop = clock.tolist()
            data.progress.value = progress
            if progress >= 1 or stop:
                break
        if a.steps and t.step >= a.steps:
            break
        token, name, key, here, e = staged or stage.next(busy)
        if e is not None:
            torch.cuda.current_stream().wait_event(e)
        for k, dst in t.static(key).items():
            if k in here:
                dst.copy_(here[k].view(dst.shape))
                if GPU:
                    here[k].record_stream(torch.cuda.current_stream())
        fall = min(1, max(0.01, (1 - progress) / (1 - a.decay_from)))
        lr = a.lr * min(1, (t.step + 1) / RUN_UP) * fall
        t.one_step(name, key, lr, a.aux * (1 - progress))
        ops += t.flops(key)
        count += feed.shape(key)[3]
        if GPU:
            done = torch.cuda.Event()
            done.record()
            ahead.append(done)
            if len(ahead) > 3:
                ahead.pop(0).synchronize()
        if e is not None:
            e.synchronize()
        if token:
            data.release(token)
        staged = stage.next(busy)
        if t.step % REPORT == 0 or not GPU:
            losses, dt = t.losses(), time.time() - mark
            say(
                f"{progress:.3f} step {t.step} lr {lr:.5f} {count * WORLD / dt:.0f} examples/s "
                f"{ops / dt / 1e12:.0f} TFLOP/s {ops / dt / peak():.1%} wait {stage.wait / dt:.2f} "
                f"again {stage.again / REPORT:.2f}: {losses}"
            )
            ops_all += ops
            mark, stage.wait, stage.again, count, ops = time.time(), 0.0, 0, 0, 0.0
        if RANK == 0 and progress >= evaluated + 1 / a.evaluations:
            evaluated += 1 / a.evaluations
            say("      held out, characters and answers:", t.forced(samples))
        if snapshot and progress >= a.snapshot:
            snapshot = False
            if RANK == 0:
                save(t, a.out + ".snapshot")
                save_state(t, progress, a.out)
    dt = time.time() - t_all
    rate = ops_all / dt
    say(f"trained {dt:.0f} s, {t.step} steps, {t.seen} examples, {rate / 1e12:.0f} TFLOP/s, {rate / peak():.1%} of peak")
    if RANK == 0:
        say("      held out, characters and answers:", t.forced(samples))
    return progress


def save_state(t, progress, out):
    torch.save(dict(t.state(), progress=progress), out + ".state")
    say(f"saved the state at {progress:.3f}, step {t.step}")


def main():
    a = arguments()
    seed = a.seed + 17 * RANK + (1000 if a.resume else 0)
    data = feed.Feed(glyphs.load_faces(False), a.workers, seed, 1.0 if a.start else 0.0, mix=a.mix)
    torch.set_float32_matmul_precision("high")
    if GPU:
        torch.cuda.set_device(0)
        torch._dynamo.config.recompile_limit = 64
        for m in data.memory:  # pinned, so that copies run beside the step
            torch.cuda.check_error(torch.cuda.cudart().cudaHostRegister(m.ctypes.data, m.nbytes, 0))
        torch.cuda.set_stream(torch.cuda.Stream())  # one stream for warm-up, capture and replay
    if WORLD > 1:
        dist.init_process_group("nccl" if GPU else "gloo", **(dict(device_id=torch.device(DEVICE)) if GPU else {}))
    t = Trainer(a)
    t.prepare()
    begin = a.begin
    if a.resume:
        s = torch.load(a.resume, map_location=DEVICE)
        t.load(s)
        begin = s["progress"]
        say(f"resumed at {begin:.3f}, step {t.step}")
    if WORLD > 1:
        dist.barrier()
    if a.finish:
        a.seconds = a.finish / (1 - begin)
    progress = train(t, data, a, begin)
    if RANK == 0:
        save(t, a.out)
        if progress < 1:
            save_state(t, progress, a.out)
    if WORLD > 1:
        dist.barrier()
    data.close()
    sys.stdout.flush()
    os._exit(0)  # no destructors: graphs, communicator and pinned memory go with the process


if __name__ == "__main__":
    main()
