#!/usr/bin/env python3
"""Load on a running `tessera serve`, by streams of /v1/chat/completions; Python's own library is enough.

    bench/serve_load.py --port 8080 --streams 64 --seconds 300 --pid PID     # that many at any time
    bench/serve_load.py --port 8080 --rate 8 --seconds 300 --pid PID         # open loop: Poisson arrivals, whatever
                                                                             # the server does
Prompts are words drawn with --seed; lengths and sampling seeds differ from request to request. Some clients leave
in the middle, some ask without a stream. Prints one JSON object: errors, time to the first token, time between
tokens, tokens a second, resident memory of the server (with its children) once warm and at the end.
"""
import argparse
import asyncio
import json
import os
import random
import sys
import time

WORDS = "the board shows train platform gate city delayed on time north south water light number table river".split()


class Figures:
    def __init__(self):
        self.first_s, self.between_s, self.whole_s, self.errors = [], [], [], {}
        self.done = self.left = self.tokens = self.running = self.most_running = 0

    def error(self, what):
        self.errors[what] = self.errors.get(what, 0) + 1


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


def milliseconds(values):
    return {name: round(1e3 * quantile(values, q), 1)
            for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))}


def resident_kib(pid):
    total = 0
    try:
        with open(f"/proc/{pid}/status") as status:
            total = sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            total += sum(resident_kib(child) for child in children.read().split())
    except OSError:
        pass
    return total


async def ask(args, draw, figures):
    words = draw.choice([4, 8, 20, 50, 120])
    body = {"messages": [{"role": "user", "content": " ".join(draw.choices(WORDS, k=words))}],
            "max_tokens": draw.choice([16, 48, 96]), "seed": draw.randrange(1 << 30), "logprobs": True, "stream": draw.random() < 0.9, "stream_options": {"include_usage": True}}
    leaves_after = draw.randrange(1, 12) if body["stream"] and draw.random() < 0.03 else 0
    figures.running += 1
    figures.most_running = max(figures.most_running, figures.running)
    writer = None
    try:
        begin = last = time.monotonic()
        reader, writer = await asyncio.open_connection(args.host, args.port)
        text = json.dumps(body).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        await writer.drain()
        status = (await asyncio.wait_for(reader.readline(), args.timeout)).split()
        if len(status) < 2 or status[1] != b"200":
            return figures.error(f"status {status[1].decode() if len(status) > 1 else 'none'}")
        if not body["stream"]:
            answer = json.loads((await asyncio.wait_for(reader.read(), args.timeout)).split(b"\r\n\r\n", 1)[1])
            figures.tokens += answer["usage"]["completion_tokens"]
            figures.done += 1
            return None
        seen = 0
        while True:
            line = await asyncio.wait_for(reader.readline(), args.timeout)
            if not line:
                return figures.error("stream cut")
            if not line.startswith(b"data: "):
                continue
            if line.startswith(b"data: [DONE]"):
                break
            event = json.loads(line[6:])
            if "error" in event:
                return figures.error("error in stream")
            if event.get("usage"):
                figures.tokens += event["usage"]["completion_tokens"]
            delta = event["choices"][0]["delta"] if event["choices"] else {}
            if not (delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls")):
                continue
            now = time.monotonic()
            # Text may be held back until a word or a character is whole: an event is one or more tokens.
            tokens = len((event["choices"][0].get("logprobs") or {}).get("content") or [0])
            (figures.between_s if seen else figures.first_s).append((now - last) / (tokens if seen else 1))
            last, seen = now, seen + 1
            if seen == leaves_after:
                figures.left += 1
                return None
        figures.done += 1
        figures.whole_s.append(time.monotonic() - begin)
    except asyncio.TimeoutError:
        figures.error("time-out")
    except (OSError, ValueError, KeyError, IndexError) as error:
        figures.error(type(error).__name__)
    finally:
        figures.running -= 1
        if writer:
            writer.close()
    return None


async def run(args):
    figures, draw = Figures(), random.Random(args.seed)
    end = time.monotonic() + args.seconds
    memory = []

    async def watch():
        while args.pid:
            memory.append((time.monotonic(), resident_kib(args.pid)))
            await asyncio.sleep(1)

    async def stream(seed):
        own = random.Random(seed)
        while time.monotonic() < end:
            await ask(args, own, figures)

    watcher = asyncio.ensure_future(watch())
    begin = time.monotonic()
    if args.rate > 0:
        tasks, due = set(), begin
        while due < end:
            due += draw.expovariate(args.rate)  # kept to, however late we are
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.ensure_future(ask(args, random.Random(draw.random()), figures))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*list(tasks))
    else:
        await asyncio.gather(*(stream(args.seed * 1000 + i) for i in range(args.streams)))
    seconds = time.monotonic() - begin
    watcher.cancel()
    warm = [kib for at, kib in memory if at - begin >= args.warm_up]
    print(json.dumps({
        "seconds": round(seconds, 1), "answers": figures.done, "left_on_purpose": figures.left,
        "errors": figures.errors, "most_at_once": figures.most_running, "tokens": figures.tokens,
        "tokens_per_s": round(figures.tokens / seconds, 1), "first_token_ms": milliseconds(figures.first_s),
        "between_tokens_ms": milliseconds(figures.between_s), "answer_ms": milliseconds(figures.whole_s),
        "resident_mib": {"warm": round(warm[0] / 1024, 1), "end": round(warm[-1] / 1024, 1),
                         "most": round(max(warm) / 1024, 1)} if warm else None}))
    return 1 if figures.errors else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--streams", type=int, default=64, help="requests at any time, without --rate")
    parser.add_argument("--rate", type=float, default=0, help="requests a second, open loop")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--warm-up", type=float, default=30, help="seconds before memory counts")
    parser.add_argument("--timeout", type=float, default=120, help="seconds without a byte: an error")
    parser.add_argument("--pid", type=int, default=0, help="the server's, for its memory")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.pid and not os.path.exists(f"/proc/{args.pid}"):
        sys.exit(f"serve_load: there is no process {args.pid}")
    sys.exit(asyncio.run(run(args)))


if __name__ == "__main__":
    main()
