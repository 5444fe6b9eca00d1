"""Compare an exported checkpoint with transformers' Gemma4Unified classes: the same dequantised weights, one
batch, float32.

usage: check.py FOLDER     Needs transformers >= 5.17 and safetensors. Prints the largest difference of any
logit; fails above 1e-3.
"""
import json, os, sys, tempfile
import numpy as np, torch
from safetensors.torch import save_file
from transformers import Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration
import export, feed, glyphs, mlx, model, pixels, tasks


def vision_masks(types, window):
    """Additive [1, 1, T, T] per layer type: full layers are causal; on sliding layers a picture's tokens see
    each other both ways.

    (transformers' plain generate() also opens the full layers inside pictures, which the published model does
    not.)
    """
    t = torch.as_tensor(types)
    i = torch.arange(len(t))
    causal, same = i[None] <= i[:, None], (t[:, None] == 1) & (t[None] == 1)  # one picture, so one block
    near = i[None] > i[:, None] - window
    low = torch.finfo(torch.float32).min
    add = lambda m: torch.where(m, 0.0, low)[None, None]
    return {"full_attention": add(causal), "sliding_attention": add((causal | same) & near)}


def reference(folder):
    """The transformers model with the checkpoint's dequantised weights."""
    with tempfile.TemporaryDirectory() as tmp:
        config = json.load(open(os.path.join(folder, "config.json")))
        config.pop("quantization")
        config["dtype"] = "float32"
        config["text_config"]["dtype"] = "float32"
        export.write_json(os.path.join(tmp, "config.json"), config)
        weights = {k: torch.from_numpy(np.array(v, np.float32)) for k, v in mlx.load_model(folder).items()}
        save_file(weights, os.path.join(tmp, "model.safetensors"), metadata={"format": "pt"})
        net, info = Gemma4UnifiedForConditionalGeneration.from_pretrained(
            tmp,
            config=Gemma4UnifiedConfig.from_pretrained(tmp),
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    missing = [k for k in info["missing_keys"] if "lm_head" not in k]
    assert not missing and not info["unexpected_keys"], (missing, info["unexpected_keys"])
    scale = net.get_input_embeddings().embed_scale
    scale.fill_(
        float(scale.to(torch.bfloat16))
    )  # the published model multiplies by sqrt(hidden) rounded to bfloat16
    return net.eval()


@torch.no_grad()
def main(folder):
    torch.set_float32_matmul_precision("highest")
    ours = model.Net(feed.LONGEST, **feed.HEADS).eval()
    state = {k: torch.from_numpy(np.array(v)) for k, v in export.read(folder).items()}
    left = ours.load_state_dict(state, strict=False)
    assert all(k.split(".")[0] in model.AUXILIARY for k in left.missing_keys) and not left.unexpected_keys, left
    theirs, worst = reference(folder), 0.0
    material = tasks.material(5, glyphs.load_faces(True)[::9], held=True, colour=False, voice=False)
    for grid in (0, 1, 4):
        key = (feed.DRAWING, grid, feed.RECIPES["middle"].tokens)
        rows, cols, _, n = feed.shape(key)
        soft, take = rows * cols, 2
        batch = feed.batch(material, "middle", key, np.zeros(feed.SLOT, np.uint8))
        arrays = {k: torch.from_numpy(z) for k, z in batch.items()}
        drawings, labels = arrays["image"], arrays["labels"]
        ids, pals, cams = arrays["ids"][:take].long(), arrays["pals"], arrays["cams"]
        camera = pixels.Camera("cpu", False)
        im, grid, inside = pixels.paint(drawings[:take], pals[:take], cams[:take])
        im = torch.nn.functional.grid_sample(
            im, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        im = pixels.finish(im, inside, pals[:take], cams[:take], camera.k)
        mine = ours.logits(ours.stream(pixels.patches(im), ids, rows, cols)[0]).view(take, ids.shape[1], -1)
        raw = im.view(take, 3, rows, 48, cols, 48).permute(0, 2, 4, 3, 5, 1).reshape(take, soft, -1)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        pos = torch.stack([x.reshape(-1), y.reshape(-1)], -1)[None].expand(take, -1, -1)
        types = [0] * model.LEAD + [1] * soft + [0] * (ids.shape[1] - model.LEAD - soft)
        masks = vision_masks(types, 1024)
        out = theirs(
            input_ids=ids, attention_mask=masks, pixel_values=raw, image_position_ids=pos, use_cache=False
        ).logits
        used = ids != 0
        d = (mine - out).abs()[used].max().item()
        same = (mine.argmax(-1) == out.argmax(-1))[used].float().mean().item()
        hit = (out.argmax(-1) == labels[:take].long())[labels[:take] >= 0].float().mean().item()
        print(
            f"grid {rows}x{cols}: max |difference| {d:.2e} of logits within {out[used].abs().max():.1f}; "
            f"same choice {same:.4f}; answer tokens right {hit:.4f}"
        )
        worst = max(worst, d)
    print("equal to transformers" if worst <= 1e-3 else "NOT equal to transformers", f"(worst {worst:.2e})")
    return worst <= 1e-3


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
