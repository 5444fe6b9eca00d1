"""Write the trained network as a checkpoint in Hugging Face layout: 8-bit MLX affine weights under the
published names.
"""
import json, os
import numpy as np
import mlx, tokenizer
from model import (
    AUXILIARY,
    FEED,
    AUDIO_EPS,
    GLOBAL_HEAD_DIM,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    MM,
    PIXELS,
    POS_X,
    POS_Y,
    VOCAB,
    is_full,
)

POSITIONS, GROUP, SHARD = 1120, 64, 15 << 20
LANGUAGE = "model.language_model."


def positions(state):
    """The table [1120, 2, MM]: what lies beyond the trained columns and rows repeats the last trained one."""
    import feed

    table = np.zeros((POSITIONS, 2, MM), np.float32)
    for axis, name, used in (
        (0, "front.pos_x", max(g[1] for g in feed.GRIDS)),
        (1, "front.pos_y", max(g[0] for g in feed.GRIDS)),
    ):
        table[:used, axis] = state[name][:used]
        table[used:, axis] = state[name][used - 1]
    return table


def checkpoint(state):
    """{trainer's name: float32 array} -> ({module path: matrix to quantise}, {name: array that stays
    bfloat16}).
    """
    f = "front."
    quant = {
        LANGUAGE + "embed_tokens": state["embed.weight"],
        "model.vision_embedder.patch_dense": state[f + "dense.weight"],
        "model.embed_vision.embedding_projection": state[f + "proj.weight"],
        "model.embed_audio.embedding_projection": state["sound.proj.weight"],
    }
    v = "model.vision_embedder."
    plain = {
        LANGUAGE + "norm.weight": state["norm.weight"],
        v + "patch_ln1.weight": np.ones(PIXELS),
        v + "patch_ln1.bias": np.zeros(PIXELS),
        v + "patch_dense.bias": state[f + "dense.bias"],
        v + "patch_ln2.weight": state[f + "norm2.weight"],
        v + "patch_ln2.bias": state[f + "norm2.bias"],
        v + "pos_embedding": positions(state),
        v + "pos_norm.weight": state[f + "norm3.weight"],
        v + "pos_norm.bias": state[f + "norm3.bias"],
    }
    norms = {
        "norm_in": "input_layernorm",
        "norm_attn": "post_attention_layernorm",
        "norm_mlp": "pre_feedforward_layernorm",
        "norm_out": "post_feedforward_layernorm",
        "q_norm": "self_attn.q_norm",
        "k_norm": "self_attn.k_norm",
    }
    for i in range(LAYERS):
        a, b = f"layers.{i}.", f"{LANGUAGE}layers.{i}."
        for ours, theirs in norms.items():
            plain[f"{b}{theirs}.weight"] = state[f"{a}{ours}.weight"]
        plain[b + "layer_scalar"] = np.ones(1)
        for m in ("q", "k", "o") if is_full(i) else ("q", "k", "v", "o"):
            quant[f"{b}self_attn.{m}_proj"] = state[f"{a}{m}.weight"]
        for m in ("gate", "up", "down"):
            quant[f"{b}mlp.{m}_proj"] = state[f"{a}{m}.weight"]
    return quant, plain


def config():
    v = tokenizer.VOCABULARY
    text = {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attention_k_eq_v": True,
        "bos_token_id": v["<bos>"],
        "dtype": "bfloat16",
        "enable_moe_block": False,
        "eos_token_id": v["<eos>"],
        "final_logit_softcapping": 30.0,
        "global_head_dim": GLOBAL_HEAD_DIM,
        "head_dim": HEAD_DIM,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": HIDDEN,
        "hidden_size_per_layer_input": 0,
        "initializer_range": 0.02,
        "intermediate_size": FEED,
        "layer_types": ["full_attention" if is_full(i) else "sliding_attention" for i in range(LAYERS)],
        "max_position_embeddings": 4096,
        "model_type": "gemma4_unified_text",
        "num_attention_heads": HEADS,
        "num_experts": None,
        "num_global_key_value_heads": 1,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "num_kv_shared_layers": 0,
        "pad_token_id": v["<pad>"],
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "full_attention": {
                "partial_rotary_factor": 0.25,
                "rope_theta": 1000000.0,
                "rope_type": "proportional",
            },
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
        "sliding_window": 1024,
        "tie_word_embeddings": True,
        "top_k_experts": None,
        "use_bidirectional_attention": "vision",
        "use_cache": True,
        "use_double_wide_mlp": False,
        "vocab_size": VOCAB,
        "vocab_size_per_layer_input": VOCAB,
    }
    return {
        "architectures": ["Gemma4UnifiedForConditionalGeneration"],
        "audio_config": {
            "audio_embed_dim": 640,
            "audio_samples_per_token": 640,
            "model_type": "gemma4_unified_audio",
            "rms_norm_eps": AUDIO_EPS,  # 1e-6 would make -60 dB as loud as speech
        },
        "audio_token_id": v["<|audio|>"],
        "boa_token_id": v["<|audio>"],
        "boi_token_id": v["<|image>"],
        "dtype": "bfloat16",
        "eoa_token_index": v["<audio|>"],
        "eoi_token_id": v["<image|>"],
        "image_token_id": v["<|image|>"],
        "initializer_range": 0.02,
        "model_type": "gemma4_unified",
        "quantization": {"group_size": GROUP, "bits": 8, "mode": "affine"},
        "text_config": text,
        "tie_word_embeddings": True,
        "transformers_version": "5.17.0",
        "video_token_id": v["<|video|>"],
        "vision_config": {
            "mm_embed_dim": MM,
            "mm_posemb_size": POSITIONS,
            "model_patch_size": 48,
            "model_type": "gemma4_unified_vision",
            "num_soft_tokens": 280,
            "output_proj_dims": MM,
            "patch_size": 16,
            "pooling_kernel_size": 3,
            "rms_norm_eps": 1e-6,
        },
    }


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def small_files(folder):
    v = tokenizer.VOCABULARY
    write_json(os.path.join(folder, "config.json"), config())
    write_json(
        os.path.join(folder, "generation_config.json"),
        {
            "bos_token_id": v["<bos>"],
            "do_sample": False,  # reading has one right answer
            "eos_token_id": [v["<eos>"], v["<turn|>"], v["<|tool_response>"]],
            "pad_token_id": v["<pad>"],
            "suppress_tokens": [v["<image|>"], v["<audio|>"]],
            "temperature": 1.0,
            "top_k": 64,
            "top_p": 0.95,
            "transformers_version": "5.17.0",
        },
    )
    image = {
        "do_convert_rgb": True,
        "do_normalize": False,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
        "max_soft_tokens": 280,
        "patch_size": 16,
        "pooling_kernel_size": 3,
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
    write_json(
        os.path.join(folder, "processor_config.json"),
        {
            "processor_class": "Gemma4UnifiedProcessor",
            "image_seq_length": 280,
            "audio_seq_length": 750,
            "audio_ms_per_token": 40,
            "image_processor": {**image, "image_processor_type": "Gemma4UnifiedImageProcessor"},
            "feature_extractor": {
                "audio_samples_per_token": 640,
                "feature_extractor_type": "Gemma4UnifiedAudioFeatureExtractor",
                "feature_size": 640,
                "padding_side": "right",
                "padding_value": 0.0,
                "return_attention_mask": True,
                "sampling_rate": 16000,
            },
            "video_processor": {
                **image,
                "do_normalize": True,
                "do_sample_frames": True,
                "max_soft_tokens": 70,
                "num_frames": 32,
                "return_metadata": False,
                "video_processor_type": "Gemma4UnifiedVideoProcessor",
            },
        },
    )
    tokenizer.write(os.path.join(folder, "tokenizer.json"))


HEADS_FILE = "heads.npz"  # the auxiliary heads, for a run that starts from the checkpoint; the engine has no use for it


def write(state, folder):
    """state: {name: float32 numpy array} of model.Net. Returns the bytes of the weight files."""
    os.makedirs(folder, exist_ok=True)
    heads = {k: v.astype(np.float16) for k, v in state.items() if k.split(".")[0] in AUXILIARY}
    np.savez(os.path.join(folder, HEADS_FILE), **heads)
    small_files(folder)
    quant, plain = checkpoint(state)
    tensors = {}
    for stem, w in quant.items():
        codes, scales, biases = mlx.quantise(np.ascontiguousarray(w, np.float32), GROUP)
        tensors.update(
            {
                stem + ".weight": ("U32", codes),
                stem + ".scales": ("BF16", scales),
                stem + ".biases": ("BF16", biases),
            }
        )
    tensors.update({k: ("BF16", mlx.bf16(a).reshape(np.shape(a))) for k, a in plain.items()})
    shards, size = [{}], 0
    for name in sorted(tensors):
        kind, a = tensors[name]
        n = a.size * mlx.SIZES[kind]
        if size + n > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = tensors[name]
        size += n
    total, where = 0, {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        mlx.save(os.path.join(folder, file), shard)
        total += os.path.getsize(os.path.join(folder, file))
        where.update({name: file for name in shard})
    write_json(
        os.path.join(folder, "model.safetensors.index.json"),
        {"metadata": {"total_size": total}, "weight_map": where},
    )
    return total


def read(folder):
    """The inverse: a state for model.Net from a checkpoint, dequantised; with the auxiliary heads where it has them."""
    raw = mlx.load_model(folder)
    state = {}
    if os.path.exists(os.path.join(folder, HEADS_FILE)):
        with np.load(os.path.join(folder, HEADS_FILE)) as heads:
            state.update({k: heads[k].astype(np.float32) for k in heads.files})
    names = {
        "embed.weight": LANGUAGE + "embed_tokens.weight",
        "norm.weight": LANGUAGE + "norm.weight",
        "front.dense.weight": "model.vision_embedder.patch_dense.weight",
        "front.dense.bias": "model.vision_embedder.patch_dense.bias",
        "front.norm2.weight": "model.vision_embedder.patch_ln2.weight",
        "front.norm2.bias": "model.vision_embedder.patch_ln2.bias",
        "front.norm3.weight": "model.vision_embedder.pos_norm.weight",
        "front.norm3.bias": "model.vision_embedder.pos_norm.bias",
        "front.proj.weight": "model.embed_vision.embedding_projection.weight",
        "sound.proj.weight": "model.embed_audio.embedding_projection.weight",
    }
    state.update({a: raw[b] for a, b in names.items()})
    table = raw["model.vision_embedder.pos_embedding"]
    state["front.pos_x"], state["front.pos_y"] = table[:POS_X, 0], table[:POS_Y, 1]
    parts = {
        "norm_in": "input_layernorm",
        "norm_attn": "post_attention_layernorm",
        "norm_mlp": "pre_feedforward_layernorm",
        "norm_out": "post_feedforward_layernorm",
        "q_norm": "self_attn.q_norm",
        "k_norm": "self_attn.k_norm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    }
    for i in range(LAYERS):
        for ours, theirs in parts.items():
            name = f"{LANGUAGE}layers.{i}.{theirs}.weight"
            if name in raw:
                state[f"layers.{i}.{ours}.weight"] = raw[name]
    return state
