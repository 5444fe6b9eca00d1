"""Read pictures with the exported weights in PyTorch: the plain reference beside the C++ engine.

usage: reader.py [--model DIR] [--golden OUT.safetensors] PICTURE...
--golden stores ids and float32 logits of the first picture's prompt and answer (the last 40 positions).
"""
import argparse, os
import numpy as np, torch
from PIL import Image
import export, feed, heldout, mlx, model, pixels, tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))


class Reader:
    def __init__(self, folder):
        self.net = model.Net(2048, **feed.HEADS).eval()
        self.net.load_state_dict(
            {k: torch.from_numpy(np.array(v)) for k, v in export.read(folder).items()}, strict=False
        )

    def patches(self, picture):
        w, h = heldout.target_size(*picture.size)
        picture = (
            picture.convert("RGB").resize((w, h), Image.BICUBIC)
            if picture.size != (w, h)
            else picture.convert("RGB")
        )
        im = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        return pixels.patches(im), h // model.PATCH, w // model.PATCH

    @torch.no_grad()
    def read(self, picture, question="Read the board.", longest=500, keep_logits=False):
        """The answer's text; with keep_logits also (all ids, logits of every position but the last)."""
        net = self.net
        u, rows, cols = self.patches(picture)
        start, end = tokenizer.prompt(question)
        ids = start + [tokenizer.IMAGE] * (rows * cols) + end
        cache, logits, out = [], [], []
        x = net.embed.weight[torch.tensor(ids)] * model.EMBED_SCALE
        x[model.LEAD : model.LEAD + rows * cols] = net.front(u, rows, cols)[0]
        at = 0
        while True:
            n = x.shape[0]
            for i, layer in enumerate(net.layers):
                c, s = (net.cos_f, net.sin_f) if layer.full else (net.cos_s, net.sin_s)
                q, k, v = model.before(layer, x, c[at : at + n, None], s[at : at + n, None])
                if at == 0:
                    cache.append([k, v])
                    a = model.attention(layer, q, k, v, 1, rows * cols)
                else:
                    cache[i] = [torch.cat([a_, b_]) for a_, b_ in zip(cache[i], (k, v))]
                    k, v = cache[i]
                    p = torch.einsum("qhd,khd->hqk", q, k).softmax(-1)
                    a = torch.einsum("hqk,khd->qhd", p, v).reshape(n, -1)
                x = model.after(layer, x, a)
            at += n
            z = net.logits(x if keep_logits else x[-1:])
            if keep_logits:
                logits.append(z)
            last = z[-1].clone()
            last[[tokenizer.VOCABULARY["<image|>"], tokenizer.VOCABULARY["<audio|>"]]] = -float("inf")
            token = int(last.argmax())
            out.append(token)
            if token in (tokenizer.END, tokenizer.EOS) or len(out) >= longest:
                text = tokenizer.decode(out)
                return (text, ids + out[:-1], torch.cat(logits)) if keep_logits else text
            x = net.embed.weight[torch.tensor([token])] * model.EMBED_SCALE


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", default=os.path.join(HERE, "..", "models", "mini"))
    a.add_argument("--golden")
    a.add_argument("--question", default="Read the board.")
    a.add_argument("pictures", nargs="+")
    a = a.parse_args()
    reader = Reader(a.model)
    for i, path in enumerate(a.pictures):
        if a.golden and i == 0:
            text, ids, logits = reader.read(Image.open(path), a.question, keep_logits=True)
            mlx.save(
                a.golden,
                {
                    "input_ids": ("I32", np.array(ids, np.int32)),
                    "logits": ("F32", logits[-40:].numpy().astype(np.float32)),
                },
            )
        else:
            text = reader.read(Image.open(path), a.question)
        print(f"{path}:\n{text}")


if __name__ == "__main__":
    main()
