"""Ray Serve: one `tessera serve` for each GPU behind one address.

    TESSERA_SERVE_MODEL=path/to/model serve run deploy.ray.app:app

A conversation goes to the replica that has the longest prefix of it: the router remembers hashes of the messages that it
sent where, and asks the least busy replica for what is new. Replies are passed on as they come.
"""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
from collections import OrderedDict

PREFIXES_KEPT = 100_000
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}


def prefix_hashes(body: bytes) -> list[str]:
    """Of the messages, one after the other: equal beginnings give equal hashes. Newest first; [] for other bodies."""
    try:
        request = json.loads(body)
    except ValueError:
        return []
    if not isinstance(request, dict):
        return []
    parts = request.get("messages") or request.get("input") or request.get("prompt")
    parts = parts if isinstance(parts, list) else [parts] if parts else []
    running = hashlib.sha256(json.dumps([request.get("system"), request.get("instructions"), request.get("tools")]).encode())
    hashes = []
    for part in parts:
        running.update(json.dumps(part, sort_keys=True).encode())
        hashes.append(running.hexdigest())
    return hashes[::-1]


class PrefixRouter:
    """Which of `count` replicas a request goes to. Pure; one event loop."""

    def __init__(self, count: int):
        self.load = [0] * count
        self.seen: OrderedDict[str, int] = OrderedDict()

    def choose(self, hashes: list[str]) -> int:
        least = min(range(len(self.load)), key=lambda i: self.load[i])
        replica = next((self.seen[h] for h in hashes if h in self.seen), least)
        # A prefix is worth waiting for a little, not for a queue.
        if self.load[replica] > 2 * self.load[least] + 4:
            replica = least
        for h in hashes:
            self.seen[h] = replica
            self.seen.move_to_end(h)
        while len(self.seen) > PREFIXES_KEPT:
            self.seen.popitem(last=False)
        return replica


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build():
    import httpx
    from ray import serve
    from starlette.requests import Request
    from starlette.responses import StreamingResponse

    @serve.deployment(num_replicas=1, ray_actor_options={"num_gpus": 1}, max_ongoing_requests=1)
    class Replica:
        """Owns the program; Ray gives it a card through CUDA_VISIBLE_DEVICES."""

        def __init__(self):
            self.port = free_port()
            self.program = subprocess.Popen(
                [os.environ.get("TESSERA_PROGRAM", "tessera"), "serve", os.environ["TESSERA_SERVE_MODEL"], "--host", "0.0.0.0",
                 "--port", str(self.port), "--parallel", os.environ.get("TESSERA_PARALLEL", "16")])

        async def address(self) -> str:
            async with httpx.AsyncClient() as client:
                for _ in range(600):
                    try:
                        if (await client.get(f"http://127.0.0.1:{self.port}/health")).status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    await asyncio.sleep(1)
            return f"http://{socket.gethostbyname(socket.gethostname())}:{self.port}"

        def check_health(self):
            if self.program.poll() is not None:
                raise RuntimeError(f"tessera ended with {self.program.returncode}")

        def __del__(self):
            self.program.terminate()
            self.program.wait(60)

    @serve.deployment(max_ongoing_requests=4096)
    class Router:
        def __init__(self, *replicas):
            self.replicas = replicas
            self.addresses = None
            self.router = PrefixRouter(len(replicas))
            self.client = httpx.AsyncClient(timeout=None)

        async def __call__(self, request: Request):
            if self.addresses is None:
                self.addresses = await asyncio.gather(*(r.address.remote() for r in self.replicas))
            body = await request.body()
            replica = self.router.choose(prefix_hashes(body))
            self.router.load[replica] += 1
            try:
                query = f"?{request.url.query}" if request.url.query else ""
                sent = self.client.build_request(
                    request.method, self.addresses[replica] + request.url.path + query, content=body,
                    headers=[(k, v) for k, v in request.headers.items() if k.lower() not in HOP_HEADERS])
                reply = await self.client.send(sent, stream=True)
            except BaseException:
                self.router.load[replica] -= 1
                raise

            async def pieces():
                try:
                    async for piece in reply.aiter_raw():
                        yield piece
                finally:  # also when the client leaves: closing cancels the work
                    self.router.load[replica] -= 1
                    await reply.aclose()

            return StreamingResponse(pieces(), status_code=reply.status_code,
                                     headers={k: v for k, v in reply.headers.items() if k.lower() not in HOP_HEADERS})

    count = int(os.environ.get("TESSERA_REPLICAS", "1"))
    return Router.bind(*(Replica.options(name=f"replica-{i}").bind() for i in range(count)))


def __getattr__(name):
    if name == "app":
        return build()
    raise AttributeError(name)
