#pragma once
// Models as GGUF: the tiny fixture, float32, with its mmproj; and a small geometry whose rows K-quants fit,
// with random blocks.
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <random>

#include "support/gguf_bytes.h"
#include "support/safetensors_reader.h"
#include "support/temp_dir.h"
#include "support/tokenizer_lists.h"

namespace tessera::test {

struct GgufGeometry {
  uint32_t hidden = 64, intermediate = 160, q_heads = 4, window = 16, context = 4096;
  uint32_t sliding_kv = 2, sliding_dim = 16, full_kv = 1, full_dim = 32, turning = 4;
  std::vector<uint8_t> sliding = {1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0};
};

inline std::vector<float> rope_freqs(const GgufGeometry& g) {
  std::vector<float> divisors(g.full_dim / 2, 1e30F);
  for (uint32_t i = 0; i < g.turning; ++i) divisors[i] = 1;
  return divisors;
}

inline nlohmann::json tiny_file(const char* name) {
  return nlohmann::json::parse(read_bytes(std::string(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/") + name));
}

/// Metadata of §2.1, the tokenizer of the tiny fixture.
inline GgufBytes gguf_header(const GgufGeometry& g) {
  GgufBytes f;
  f.text("general.architecture", "gemma4");
  f.text("general.type", "model");
  f.u32("gemma4.block_count", static_cast<uint32_t>(g.sliding.size()));
  f.u32("gemma4.context_length", g.context);
  f.u32("gemma4.embedding_length", g.hidden);
  f.u32("gemma4.feed_forward_length", g.intermediate);
  f.u32("gemma4.attention.head_count", g.q_heads);
  std::vector<int32_t> kv;
  for (const uint8_t s : g.sliding) kv.push_back(static_cast<int32_t>(s != 0 ? g.sliding_kv : g.full_kv));
  f.array("gemma4.attention.head_count_kv", GgufBytes::kI32, kv);
  for (const std::string what : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    f.u32("gemma4." + what, g.full_dim);
    f.u32("gemma4." + what + "_swa", g.sliding_dim);
  }
  f.u32("gemma4.attention.sliding_window", g.window);
  f.array("gemma4.attention.sliding_window_pattern", GgufBytes::kBool, g.sliding);
  f.u32("gemma4.attention.shared_kv_layers", 0);
  f.u32("gemma4.embedding_length_per_layer_input", 0);
  f.f32("gemma4.attention.layer_norm_rms_epsilon", 1e-6F);
  f.f32("gemma4.rope.freq_base", 1000000);
  f.f32("gemma4.rope.freq_base_swa", 10000);
  f.f32("gemma4.final_logit_softcapping", 30);
  const TokenizerLists lists(tiny_file("tokenizer.json"));
  f.text("tokenizer.ggml.model", "gemma4");
  f.strings("tokenizer.ggml.tokens", lists.tokens);
  f.array("tokenizer.ggml.scores", GgufBytes::kF32, std::vector<float>(lists.tokens.size()));
  f.array("tokenizer.ggml.token_type", GgufBytes::kI32, lists.types);
  f.strings("tokenizer.ggml.merges", lists.merges);
  f.u32("tokenizer.ggml.bos_token_id", 2);
  f.u32("tokenizer.ggml.eos_token_id", 1);
  f.u32("tokenizer.ggml.padding_token_id", 0);
  f.boolean("tokenizer.ggml.add_bos_token", true);
  f.array("tokenizer.ggml.suppress_tokens", GgufBytes::kI32, std::vector<int32_t>{18, 21});
  return f;
}

/// §2.3.
inline GgufBytes mmproj_header(uint32_t hidden) {
  GgufBytes f;
  f.text("general.architecture", "clip");
  f.text("general.type", "mmproj");
  for (const std::string path : {"vision", "audio"}) {
    f.boolean("clip.has_" + path + "_encoder", true);
    f.text("clip." + path + ".projector_type", path == "vision" ? "gemma4uv" : "gemma4ua");
    f.u32("clip." + path + ".projection_dim", hidden);
    f.u32("clip." + path + ".embedding_length", path == "vision" ? hidden : 640);
    f.f32("clip." + path + ".attention.layer_norm_epsilon", 1e-6F);
  }
  f.u32("clip.vision.image_size", 224);
  f.u32("clip.vision.patch_size", 16);
  f.array("clip.vision.image_mean", GgufBytes::kF32, std::vector<float>{0, 0, 0});
  f.array("clip.vision.image_std", GgufBytes::kF32, std::vector<float>{1, 1, 1});
  f.u32("clip.audio.num_mel_bins", 128);
  return f;
}

/// The published name → GGUF's.
inline std::string gguf_name(std::string name) {
  static const std::vector<std::pair<std::string, std::string>> parts = {
      {"model.language_model.embed_tokens.weight", "token_embd.weight"},
      {"model.language_model.norm.weight", "output_norm.weight"},
      {"model.language_model.layers.", "blk."},
      {"input_layernorm", "attn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"post_attention_layernorm", "post_attention_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"layer_scalar", "layer_output_scale.weight"},
      {"model.vision_embedder.patch_dense", "v.patch_embd"},
      {"model.vision_embedder.patch_ln1", "v.patch_norm.1"},
      {"model.vision_embedder.patch_ln2", "v.patch_norm.2"},
      {"model.vision_embedder.pos_norm", "v.patch_norm.3"},
      {"model.vision_embedder.pos_embedding", "v.position_embd.weight"},
      {"model.embed_vision.embedding_projection", "mm.input_projection"},
      {"model.embed_audio.embedding_projection", "mm.a.input_projection"},
  };
  for (const auto& [from, to] : parts)
    if (const size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  return name;
}

/// What the converter does to the values: §2.3's permutations.
inline std::vector<float> as_converted(const std::string& name, const std::vector<float>& v, size_t cols) {
  std::vector<float> out(v.size());
  if (name.starts_with("v.patch_embd.weight") || name.starts_with("v.patch_norm.1")) {
    for (size_t row = 0; row < v.size() / cols; ++row)
      for (size_t y = 0; y < 48; ++y)
        for (size_t x = 0; x < 48; ++x)
          for (size_t c = 0; c < 3; ++c)
            out[row * cols + c * 2304 + y * 48 + x] = v[row * cols + (y * 48 + x) * 3 + c];
    return out;
  }
  if (name == "v.position_embd.weight") {  // [1120, 2, cols] → [2, 1120, cols]
    for (size_t p = 0; p < 1120; ++p)
      for (size_t axis = 0; axis < 2; ++axis)
        for (size_t k = 0; k < cols; ++k) out[(axis * 1120 + p) * cols + k] = v[(p * 2 + axis) * cols + k];
    return out;
  }
  return v;
}

struct GgufPair {
  GgufBytes model, mmproj;
};

/// The tiny fixture in float32.
inline GgufPair tiny_gguf() {
  const GgufGeometry g;
  GgufPair pair{gguf_header(g), mmproj_header(g.hidden)};
  for (const auto& [hf, t] : read_golden(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/model.safetensors")) {
    if (t.dtype != "BF16") throw std::runtime_error(hf + " is " + t.dtype + ", expected BF16");
    std::vector<float> values(t.bytes.size() / 2);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint32_t bits = static_cast<uint32_t>(t.bytes[2 * i] | t.bytes[2 * i + 1] << 8) << 16;
      std::memcpy(&values[i], &bits, 4);
    }
    const std::string name = gguf_name(hf);
    std::vector<uint64_t> ne;
    for (size_t i = t.shape.size(); i-- > 0;) ne.push_back(static_cast<uint64_t>(t.shape[i]));
    if (name == "v.position_embd.weight") ne = {ne[0], ne[2], ne[1]};
    const bool media = name.starts_with("v.") || name.starts_with("mm.");
    (media ? pair.mmproj : pair.model).f32_tensor(name, ne, as_converted(name, values, ne[0]));
  }
  pair.model.f32_tensor("rope_freqs.weight", {g.full_dim / 2}, rope_freqs(g));
  return pair;
}

/// ggml's number and the block: values, bytes, where the float16 scales are.
struct BlockKind {
  const char* name;
  uint32_t type;
  uint64_t values, bytes;
  std::vector<size_t> scales;
  float typical;  // magnitude of code * sub-scale
};

inline void PrintTo(const BlockKind& kind, std::ostream* out) {
  *out << kind.name;
}

inline std::vector<BlockKind> block_kinds() {
  return {{"Q4_0", 2, 32, 18, {0}, 4.6F},      {"Q4_1", 3, 32, 20, {0, 2}, 8},
          {"Q5_0", 6, 32, 22, {0}, 9.2F},      {"Q5_1", 7, 32, 24, {0, 2}, 16},
          {"Q8_0", 8, 32, 34, {0}, 74},        {"Q4_K", 12, 256, 144, {0, 2}, 300},
          {"Q5_K", 13, 256, 176, {0, 2}, 600}, {"Q6_K", 14, 256, 210, {208}, 1400},
          {"IQ4_NL", 20, 32, 18, {0}, 66}};
}

/// Random blocks whose values are about 1 / sqrt(cols).
inline std::string random_blocks(const BlockKind& kind, uint64_t cols, uint64_t rows, std::mt19937& random) {
  std::string bytes(cols / kind.values * kind.bytes * rows, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const float scale = 1 / (std::sqrt(static_cast<float>(cols)) * kind.typical);
  const auto exponent =
      static_cast<uint32_t>(std::ilogb(scale) + 15);  // of a float16; above 0 for these sizes
  const bool subnormal = std::ilogb(scale) + 15 < 1;
  for (size_t at = 0; at < bytes.size(); at += kind.bytes)
    for (const size_t offset : kind.scales) {
      const uint32_t mantissa = random() & 0x3ff;
      const uint32_t bits = subnormal ? static_cast<uint32_t>(scale * 0x1p24F) : exponent << 10 | mantissa;
      bytes[at + offset] = static_cast<char>(bits);
      bytes[at + offset + 1] = static_cast<char>(bits >> 8);
    }
  return bytes;
}

/// One sliding and one full layer of 256 columns and more, every matrix in random blocks of `kind`.
inline GgufBytes quantised_gguf(const BlockKind& kind, uint32_t seed) {
  GgufGeometry g;
  g.hidden = 256, g.intermediate = 512, g.sliding_dim = 64, g.full_dim = 128, g.turning = 16;
  g.sliding = {1, 0};
  GgufBytes f = gguf_header(g);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> near_one(0.8F, 1.2F);
  const auto matrix = [&](const std::string& name, uint64_t cols, uint64_t rows) {
    f.tensor(name, {cols, rows}, kind.type, random_blocks(kind, cols, rows, random));
  };
  const auto norm = [&](const std::string& name, uint64_t n) {
    std::vector<float> values(n);
    for (float& v : values) v = near_one(random);
    f.f32_tensor(name, {n}, values);
  };
  matrix("token_embd.weight", g.hidden, 1024);
  norm("output_norm.weight", g.hidden);
  f.f32_tensor("rope_freqs.weight", {g.full_dim / 2}, rope_freqs(g));
  for (size_t i = 0; i < g.sliding.size(); ++i) {
    const std::string p = "blk." + std::to_string(i) + ".";
    const uint64_t dim = g.sliding[i] != 0 ? g.sliding_dim : g.full_dim,
                   kv = g.sliding[i] != 0 ? g.sliding_kv : g.full_kv;
    for (const char* name :
         {"attn_norm.weight", "post_attention_norm.weight", "ffn_norm.weight", "post_ffw_norm.weight"})
      norm(p + name, g.hidden);
    norm(p + "attn_q_norm.weight", dim);
    norm(p + "attn_k_norm.weight", dim);
    norm(p + "layer_output_scale.weight", 1);
    matrix(p + "attn_q.weight", g.hidden, g.q_heads * dim);
    matrix(p + "attn_k.weight", g.hidden, kv * dim);
    if (g.sliding[i] != 0) matrix(p + "attn_v.weight", g.hidden, kv * dim);
    matrix(p + "attn_output.weight", g.q_heads * dim, g.hidden);
    matrix(p + "ffn_gate.weight", g.hidden, g.intermediate);
    matrix(p + "ffn_up.weight", g.hidden, g.intermediate);
    matrix(p + "ffn_down.weight", g.intermediate, g.hidden);
  }
  return f;
}

}  // namespace tessera::test
