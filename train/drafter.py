"""Train the drafter of models/mini (docs/spec/mtp.md) on the model's own choices: python3 drafter.py --target
../models/mini --seconds 170 --out out/assistant. One GPU.

Examples of every skill come from feed.py as for the model. The model reads a whole sequence once and stays as it
is; row r of the drafter then has what it would have at run time: the model's hidden row r, the token after it, and
keys and values up to r. It says the model's choices for r + 1, r + 2 … one step after the other, its own state going
back in. Steps after the first get the written token, since a wrong draft ends a round.
"""
import argparse, json, os, struct, sys, time
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
import export, feed, glyphs, model, pixels
from muon import Muon

TARGET, HIDDEN, FEED, LAYERS, DEPTH = model.HIDDEN, 256, 512, 4, 4
WEIGHTS = (1.0, 0.8, 0.6, 0.4)  # of the steps' losses
READ = ("image", "ids", "labels", "pals", "cams", "frames")  # of a batch; the rest is for the model's auxiliary heads
HELD = ("long", "middle", "ask", "picture", "hear", "spoken")  # recipes that are looked at while it trains
GPU = torch.cuda.is_available()
DEVICE = "cuda:0" if GPU else "cpu"
START = time.time()


def say(*words):
    print(f"{time.time() - START:6.1f}s", *words, flush=True)


class Layer(nn.Module):
    """A layer without keys and values; the last one reads the model's full layer, the others its sliding one."""

    def __init__(self, full):
        super().__init__()
        self.full, self.dim = full, model.GLOBAL_HEAD_DIM if full else model.HEAD_DIM
        norm = lambda size, init=1.0: model.RMSNorm(size, init=init)
        self.norm_in, self.norm_attn = norm(HIDDEN), norm(HIDDEN, 0.3)
        self.norm_mlp, self.norm_out = norm(HIDDEN), norm(HIDDEN, 0.3)
        self.q = nn.Linear(HIDDEN, model.HEADS * self.dim, bias=False)
        self.o = nn.Linear(model.HEADS * self.dim, HIDDEN, bias=False)
        self.q_norm = norm(self.dim, self.dim**-0.5)
        self.gate, self.up = nn.Linear(HIDDEN, FEED, bias=False), nn.Linear(HIDDEN, FEED, bias=False)
        self.down = nn.Linear(FEED, HIDDEN, bias=False)

    def forward(self, x, k, v, cos, sin, mask):
        """x [B, A, HIDDEN]; k, v [B, heads, T, dim]; cos, sin [A, 1, dim / 2]; mask [A, T]."""
        q = self.q_norm(self.q(self.norm_in(x)).unflatten(-1, (model.HEADS, self.dim)))
        q = model.rotate(q, cos, sin).transpose(1, 2).to(k.dtype)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0).transpose(1, 2).flatten(2)
        x = x + self.norm_attn(self.o(a))
        h = self.norm_mlp(x)
        return x + self.norm_out(self.down(F.gelu(self.gate(h), approximate="tanh") * self.up(h)))


class Drafter(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre = nn.Linear(2 * TARGET, HIDDEN, bias=False)
        self.layers = nn.ModuleList(Layer(i == LAYERS - 1) for i in range(LAYERS))
        self.norm = model.RMSNorm(HIDDEN)
        self.post = nn.Linear(HIDDEN, TARGET, bias=False)
        self.embed = nn.Linear(HIDDEN, model.VOCAB, bias=False)
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=p.shape[1] ** -0.5)

    def forward(self, tokens, state, read):
        """tokens: embeddings [B, A, TARGET]; state [B, A, TARGET] -> logits, next state."""
        x = self.pre(torch.cat([tokens.float(), state.float()], -1)).float()
        for layer in self.layers:
            x = layer(x, *read[layer.full])
        h = self.norm(x)
        return self.embed(h).float(), self.post(h)


@torch.no_grad()
def read_target(net, u, ids, rows, cols, frames, least):
    """Hidden rows from `least` on, the model's choices [B, T], and what the two kinds of layers read."""
    batch, length, last = ids.shape[0], ids.shape[1], {}
    x, _ = net.stream(u, ids, rows, cols, frames, last)
    at = torch.arange(length, device=ids.device)
    mask, read = at[None] <= at[least:, None], {}
    for full, (k, v) in last.items():
        shape = lambda z: z.view(batch, length, model.HEADS, -1).transpose(1, 2)
        cos, sin = (net.cos_f, net.sin_f) if full else (net.cos_s, net.sin_s)
        read[full] = (shape(k).to(v.dtype), shape(v), cos[least:length, None], sin[least:length, None], mask)
    hidden = net.norm(x).view(batch, length, TARGET)
    choice = (hidden.to(net.embed.weight.dtype) @ net.embed.weight.t()).argmax(-1)
    return hidden[:, least:], choice, read


class Run:
    def __init__(self, net, drafter):
        self.net, self.drafter, self.camera = net, drafter, pixels.Camera(DEVICE, False)

    def step(self, key, arrays):
        """Losses and accepted drafts by depth; drafts count where all before them were right."""
        rows, cols, _, _ = feed.shape(key)
        b = {k: torch.from_numpy(np.ascontiguousarray(v)).to(DEVICE) for k, v in arrays.items() if k in READ}
        ids, used = b["ids"].long(), b["labels"].long() != -100
        least = model.LEAD + rows * cols if rows else 0
        with torch.no_grad():
            u = self.camera(b["image"], b["pals"], b["cams"]).to(self.camera.dtype) if rows else None
        with torch.autocast("cuda" if GPU else "cpu", torch.bfloat16, enabled=GPU):
            state, choice, read = read_target(self.net, u, ids, rows, cols, b.get("frames"), least)
            total, right, tried = 0.0, [], []
            alive = None
            for j in range(DEPTH):
                # row r: token r + 1 + j goes in, the choice at r + 1 + j is wanted
                shift = lambda z: F.pad(z[:, least + 1 + j :], (0, 1 + j))
                token = self.net.embed(shift(ids)) * model.EMBED_SCALE
                logits, state = self.drafter(token, state, read)
                wanted, wanted_used = shift(choice), shift(used.long()).bool()
                ce = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)
                total = total + WEIGHTS[j] * (ce * wanted_used).sum() / wanted_used.sum().clamp(min=1)
                hit = (logits.argmax(-1) == wanted) & wanted_used
                alive = wanted_used if alive is None else alive & wanted_used
                tried.append(alive.sum())
                alive = alive & hit
                right.append(alive.sum())
        return total, torch.stack(right), torch.stack(tried)


def accepted(run, samples):
    """Of the drafts that are looked at, the share that is right, by depth, and drafted tokens a round; by recipe."""
    said = []
    for name, key, arrays in samples:
        with torch.no_grad():
            _, right, tried = run.step(key, arrays)
        right, first = right.double(), tried[0].clamp(min=1)
        by_depth = [right[0] / first] + [right[i] / right[i - 1].clamp(min=1) for i in range(1, DEPTH)]
        said.append(f"{name} " + " ".join(f"{p:.3f}" for p in by_depth) + f" = {(right / first).sum():.2f}")
    return ", ".join(said)


def names(drafter):
    parts = {
        "norm_in": "input_layernorm",
        "norm_attn": "post_attention_layernorm",
        "norm_mlp": "pre_feedforward_layernorm",
        "norm_out": "post_feedforward_layernorm",
        "q_norm": "self_attn.q_norm",
        "q": "self_attn.q_proj",
        "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    }
    out = {
        "pre_projection.weight": drafter.pre.weight,
        "post_projection.weight": drafter.post.weight,
        "model.embed_tokens.weight": drafter.embed.weight,
        "model.norm.weight": drafter.norm.weight,
    }
    for i, layer in enumerate(drafter.layers):
        for ours, theirs in parts.items():
            out[f"model.layers.{i}.{theirs}.weight"] = getattr(layer, ours).weight
        out[f"model.layers.{i}.layer_scalar"] = torch.ones(1)
    return {k: v.detach().bfloat16().contiguous().cpu() for k, v in sorted(out.items())}


def config():
    rope = {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    }
    text = {
        "model_type": "gemma4_unified_text",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED,
        "num_hidden_layers": LAYERS,
        "layer_types": ["sliding_attention"] * (LAYERS - 1) + ["full_attention"],
        "num_attention_heads": model.HEADS,
        "num_key_value_heads": model.KV_HEADS,
        "num_global_key_value_heads": 1,
        "head_dim": model.HEAD_DIM,
        "global_head_dim": model.GLOBAL_HEAD_DIM,
        "sliding_window": 1024,
        "vocab_size": model.VOCAB,
        "rms_norm_eps": model.RMS_EPS,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": rope,
        "final_logit_softcapping": None,
        "num_kv_shared_layers": LAYERS,
        "hidden_size_per_layer_input": 0,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }
    return {
        "architectures": ["Gemma4UnifiedAssistantForCausalLM"],
        "model_type": "gemma4_unified_assistant",
        "backbone_hidden_size": TARGET,
        "use_ordered_embeddings": False,
        "dtype": "bfloat16",
        "tie_word_embeddings": True,
        "text_config": text,
    }


def save(drafter, folder):
    os.makedirs(folder, exist_ok=True)
    tensors, header, at = names(drafter), {"__metadata__": {"format": "pt"}}, 0
    for name, t in tensors.items():
        size = t.numel() * 2
        header[name] = {"dtype": "BF16", "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(t.view(torch.int16).numpy().tobytes())
    with open(os.path.join(folder, "config.json"), "w") as f:
        f.write(json.dumps(config(), indent=2) + "\n")
    say(f"exported {at / 2**20:.2f} MiB to {folder}")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--target", help="checkpoint of the model; without one random weights, to test the code")
    a.add_argument("--seconds", type=float, default=170)
    a.add_argument("--out", default="out/assistant")
    a.add_argument("--lr", type=float, default=2e-3)
    a.add_argument("--workers", type=int, default=max(1, min(15, (os.cpu_count() or 2) - 1)))
    a.add_argument("--steps", type=int, default=0, help="stop after so many steps")
    a = a.parse_args()
    data = feed.Feed(glyphs.load_faces(False), a.workers, 5, mix="read")
    data.progress.value = 1.0
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    net = model.Net(feed.LONGEST, **feed.HEADS).to(DEVICE)
    if a.target:
        state = {k: torch.from_numpy(np.array(v)) for k, v in export.read(a.target).items()}
        say("target:", net.load_state_dict(state, strict=False))
    net.requires_grad_(False).eval()
    drafter = Drafter().to(DEVICE)
    say(f"{sum(p.numel() for p in drafter.parameters()) / 1e6:.2f} M parameters")
    matrices = [p for n, p in drafter.named_parameters() if p.ndim == 2 and n.startswith("layers.")]
    others = [p for n, p in drafter.named_parameters() if not (p.ndim == 2 and n.startswith("layers."))]
    lr = torch.zeros((), device=DEVICE)
    adam, muon = torch.optim.AdamW(others, lr=a.lr, betas=(0.9, 0.95), weight_decay=0.01), Muon(matrices, lr, 0.01)
    run, samples = Run(net, drafter), feed.held_out(HELD)
    t0, step, seen, mark = time.time(), 0, 0, time.time()
    while True:
        progress = (time.time() - t0) / a.seconds
        if progress >= 1 or (a.steps and step >= a.steps):
            break
        rate = a.lr * min(1, (step + 1) / 100) * min(1, max(0.01, (1 - progress) / 0.6))
        lr.fill_(rate)
        for group in adam.param_groups:
            group["lr"] = rate
        token, _, key, b = data.next()
        size = b["ids"].shape[0]
        loss, right, tried = run.step(key, b)
        data.release(token)
        loss.backward()
        nn.utils.clip_grad_norm_(drafter.parameters(), 1.0)
        adam.step()
        muon.step()
        for p in drafter.parameters():
            p.grad = None
        step += 1
        seen += size
        if step % 200 == 0 or a.steps:
            share = [f"{p:.3f}" for p in (right / tried.clamp(min=1)).tolist()]
            say(f"step {step} loss {loss.item():.3f} right at depth {share}, {seen / (time.time() - t0):.0f} examples/s")
        if time.time() - mark > 30:
            mark = time.time()
            say("      held out:", accepted(run, samples))
    say(f"{step} steps, {seen} examples; held out:", accepted(run, samples))
    save(drafter, a.out)
    data.close()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
