#include "model/names.h"

#include "base/error.h"

namespace tessera {
namespace {

const char* const kText = "model.language_model.";

void add_layer(std::vector<ExpectedTensor>& out, const ModelConfig& config, int index) {
  const LayerConfig& layer = config.layers[static_cast<size_t>(index)];
  const int64_t hidden = config.hidden, intermediate = config.intermediate, head_dim = layer.head_dim;
  const int64_t q_rows = config.q_heads * head_dim, kv_rows = layer.kv_heads * head_dim;
  const std::string prefix = fmt::format("{}layers.{}.", kText, index);
  const auto add = [&](const char* name, std::vector<int64_t> shape, bool optional = false) {
    out.push_back({prefix + name, std::move(shape), TensorBlock::kLayer, index, optional});
  };
  add("input_layernorm.weight", {hidden});
  add("self_attn.q_proj.weight", {q_rows, hidden});
  if (!config.drafter) add("self_attn.k_proj.weight", {kv_rows, hidden});
  if (!config.drafter && !layer.v_is_k) add("self_attn.v_proj.weight", {kv_rows, hidden}, true);
  add("self_attn.o_proj.weight", {hidden, q_rows});
  add("self_attn.q_norm.weight", {head_dim});
  if (!config.drafter) add("self_attn.k_norm.weight", {head_dim});
  add("post_attention_layernorm.weight", {hidden});
  add("pre_feedforward_layernorm.weight", {hidden});
  add("mlp.gate_proj.weight", {intermediate, hidden});
  add("mlp.up_proj.weight", {intermediate, hidden});
  add("mlp.down_proj.weight", {hidden, intermediate});
  add("post_feedforward_layernorm.weight", {hidden});
  add("layer_scalar", {1});
}

void add_vision(std::vector<ExpectedTensor>& out, const ModelConfig& config) {
  const int64_t pixels = int64_t{config.patch} * config.patch * 3, embed = config.mm_embed;
  const auto add = [&](const char* name, std::vector<int64_t> shape) {
    out.push_back({std::string("model.vision_embedder.") + name, std::move(shape), TensorBlock::kVision});
  };
  add("patch_ln1.weight", {pixels});
  add("patch_ln1.bias", {pixels});
  add("patch_dense.weight", {embed, pixels});
  add("patch_dense.bias", {embed});
  add("patch_ln2.weight", {embed});
  add("patch_ln2.bias", {embed});
  add("pos_embedding", {config.positions, 2, embed});
  add("pos_norm.weight", {embed});
  add("pos_norm.bias", {embed});
  out.push_back({"model.embed_vision.embedding_projection.weight",
                 {config.hidden, embed},
                 TensorBlock::kVisionProjection});
}

void add_drafter(std::vector<ExpectedTensor>& out, const ModelConfig& config) {
  const DrafterConfig& d = *config.drafter;
  const int64_t hidden = config.hidden, target = d.target_hidden;
  const auto add = [&](const char* name, std::vector<int64_t> shape) {
    out.push_back({name, std::move(shape), TensorBlock::kDrafter});
  };
  add("pre_projection.weight", {hidden, 2 * target});
  add("post_projection.weight", {target, hidden});
  if (!d.ordered) return;
  add("masked_embedding.centroids.weight", {d.centroids, hidden});
  add("masked_embedding.token_ordering", {config.vocab});
}

}  // namespace

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> out;
  out.push_back(
      {std::string(kText) + "embed_tokens.weight", {config.vocab, config.hidden}, TensorBlock::kEmbedding});
  for (int i = 0; i < static_cast<int>(config.layers.size()); ++i) add_layer(out, config, i);
  out.push_back({std::string(kText) + "norm.weight", {config.hidden}, TensorBlock::kFinalNorm});
  if (config.drafter) add_drafter(out, config);
  if (config.mm_embed > 0) add_vision(out, config);
  if (config.audio_samples_per_token > 0)
    out.push_back({"model.embed_audio.embedding_projection.weight",
                   {config.hidden, config.audio_samples_per_token},
                   TensorBlock::kAudioProjection});
  return out;
}

std::string published_name(const ModelConfig& config, const std::string& canonical) {
  const std::string_view text = kText;
  return config.drafter && canonical.starts_with(text) ? "model." + canonical.substr(text.size()) : canonical;
}

ModelConfig as_stored(ModelConfig config, const TensorStore& store) {
  for (size_t i = 0; i < config.layers.size(); ++i) {
    LayerConfig& layer = config.layers[i];
    if (store.find(fmt::format("{}layers.{}.self_attn.v_proj.weight", kText, i)) != nullptr)
      layer.v_is_k = false;
    else if (!layer.sliding)
      layer.v_is_k = true;
  }
  if (store.find("model.embed_vision.embedding_projection.weight") == nullptr) config.mm_embed = 0;
  if (store.find("model.embed_audio.embedding_projection.weight") == nullptr)
    config.audio_samples_per_token = 0;
  return config;
}

}  // namespace tessera
