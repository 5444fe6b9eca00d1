// GGUF's tensor names and orders → the published checkpoint's. docs/spec/formats.md §2.2, §2.3.
#include <algorithm>

#include "base/error.h"
#include "format/gguf.h"

namespace tessera {
namespace {

struct NameRow {
  std::string_view gguf, canonical;
};

constexpr NameRow kModules[] = {
    {"token_embd.weight", "model.language_model.embed_tokens.weight"},
    {"output_norm.weight", "model.language_model.norm.weight"},
    {"nextn.pre_projection.weight", "pre_projection.weight"},
    {"nextn.post_projection.weight", "post_projection.weight"},
    {"v.patch_embd.weight", "model.vision_embedder.patch_dense.weight"},
    {"v.patch_embd.bias", "model.vision_embedder.patch_dense.bias"},
    {"v.patch_norm.1.weight", "model.vision_embedder.patch_ln1.weight"},
    {"v.patch_norm.1.bias", "model.vision_embedder.patch_ln1.bias"},
    {"v.patch_norm.2.weight", "model.vision_embedder.patch_ln2.weight"},
    {"v.patch_norm.2.bias", "model.vision_embedder.patch_ln2.bias"},
    {"v.patch_norm.3.weight", "model.vision_embedder.pos_norm.weight"},
    {"v.patch_norm.3.bias", "model.vision_embedder.pos_norm.bias"},
    {"v.position_embd.weight", "model.vision_embedder.pos_embedding"},
    {"mm.input_projection.weight", "model.embed_vision.embedding_projection.weight"},
    {"mm.a.input_projection.weight", "model.embed_audio.embedding_projection.weight"},
};

constexpr NameRow kOfLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
    {"layer_output_scale.weight", "layer_scalar"},
};

std::string canonical_of(std::string_view name) {
  for (const NameRow& row : kModules)
    if (name == row.gguf) return std::string(row.canonical);
  constexpr std::string_view kBlock = "blk.";
  if (!name.starts_with(kBlock)) return std::string(name);
  const std::string_view rest = name.substr(kBlock.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return std::string(name);
  for (const NameRow& row : kOfLayer)
    if (rest.substr(dot + 1) == row.gguf)
      return "model.language_model.layers." + std::string(rest.substr(0, dot + 1)) +
             std::string(row.canonical);
  return std::string(name);
}

}  // namespace

std::string adopt_gguf_tensor(FileTensor& tensor) {
  std::string canonical = canonical_of(tensor.name);
  const bool pixels = tensor.name == "v.patch_embd.weight" || tensor.name.starts_with("v.patch_norm.1.");
  // A shape that these orders cannot have stays, for the binder to refuse.
  if (pixels && tensor.shape.back() % 3 == 0) tensor.order = StoredOrder::kChannelsFirst;
  if (tensor.name == "v.position_embd.weight" && tensor.shape.size() == 3 && tensor.shape[0] == 2) {
    tensor.order = StoredOrder::kAxesFirst;
    std::swap(tensor.shape[0], tensor.shape[1]);
  }
  return canonical;
}

std::string gguf_name_of(std::string_view canonical) {
  for (const NameRow& row : kModules)
    if (canonical == row.canonical) return std::string(row.gguf);
  constexpr std::string_view kLayers = "model.language_model.layers.";
  TS_CHECK(canonical.starts_with(kLayers), "{} has no name in GGUF files", canonical);
  const std::string_view rest = canonical.substr(kLayers.size());
  const size_t dot = rest.find('.');
  for (const NameRow& row : kOfLayer)
    if (rest.substr(dot + 1) == row.canonical)
      return "blk." + std::string(rest.substr(0, dot + 1)) + std::string(row.gguf);
  TS_CHECK(false, "{} has no name in GGUF files", canonical);
  return {};
}

}  // namespace tessera
