"""safetensors files and MLX's affine quantisation, with numpy alone."""
import json, os, struct
import numpy as np

SIZES = {"F32": 4, "BF16": 2, "U32": 4, "I32": 4}


def bf16(a):
    """float32 -> bfloat16 bits (uint16), round to nearest even."""
    u = np.ascontiguousarray(a, np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(u):
    return (u.astype(np.uint32) << 16).view(np.float32)


def round_bf16(a):
    return from_bf16(bf16(a)).reshape(np.shape(a))


def quantise(w, group):
    """[out, in] float32 -> (U32 codes [out, in / 4], scales, biases bfloat16 bits [out, in / group]), 8 bits.
    """
    g = w.reshape(w.shape[0], -1, group).astype(np.float32)
    lo, hi = g.min(-1), g.max(-1)
    bias = round_bf16(lo)  # the codes are taken against the rounded numbers
    scale = round_bf16(np.maximum((hi - bias) / 255, 1e-8))
    q = np.clip(np.rint((g - bias[..., None]) / scale[..., None]), 0, 255).astype(np.uint8)
    return q.reshape(w.shape).view("<u4"), bf16(scale), bf16(bias)


def dequantise(codes, scales, biases):
    q = codes.view(np.uint8).astype(np.float32)
    s, b = from_bf16(scales), from_bf16(biases)
    return (q.reshape(*s.shape, -1) * s[..., None] + b[..., None]).reshape(q.shape)


def save(path, tensors):
    """tensors: {name: (dtype name, array)}"""
    header, offset = {}, 0
    for name, (kind, a) in tensors.items():
        header[name] = {
            "dtype": kind,
            "shape": list(a.shape),
            "data_offsets": [offset, offset + a.size * SIZES[kind]],
        }
        offset += a.size * SIZES[kind]
    head = json.dumps({"__metadata__": {"format": "mlx"}, **header}).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for _, a in tensors.values():
            f.write(np.ascontiguousarray(a).tobytes())


def load(path):
    """{name: array}; BF16 comes as uint16 bits."""
    kinds = {"F32": "<f4", "BF16": "<u2", "U32": "<u4", "I32": "<i4"}
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    return {
        k: np.frombuffer(
            data,
            kinds[v["dtype"]],
            offset=v["data_offsets"][0],
            count=(v["data_offsets"][1] - v["data_offsets"][0]) // SIZES[v["dtype"]],
        ).reshape(v["shape"])
        for k, v in header.items()
        if k != "__metadata__"
    }


def load_model(folder):
    """All tensors of a checkpoint, dequantised to float32."""
    with open(os.path.join(folder, "model.safetensors.index.json")) as f:
        files = sorted(set(json.load(f)["weight_map"].values()))
    raw = {}
    for name in files:
        raw.update(load(os.path.join(folder, name)))
    out = {}
    for name, a in raw.items():
        if name.endswith((".scales", ".biases")):
            continue
        stem = name[: -len(".weight")]
        out[name] = (
            dequantise(a, raw[stem + ".scales"], raw[stem + ".biases"])
            if stem + ".scales" in raw
            else from_bf16(a)
        )
    return out
