// text_config. docs/spec/model.md §2.
#include <cmath>

#include "base/dtype.h"
#include "base/error.h"
#include "model/config_parts.h"

namespace tessera {
namespace {

/// Features of sibling models. Computing such a model without them would give plausible nonsense.
void refuse_unsupported(const JsonFields& text, bool drafter) {
  const auto unsupported = [&](const char* key, const char* feature, const std::string& expected) {
    text.refuse(
        key, fmt::format("{}: this engine runs the dense 12B Unified model, without {}", expected, feature));
  };
  if (text.boolean_or("enable_moe_block", false))
    unsupported("enable_moe_block", "mixture of experts", "false");
  if (text.integer_or("hidden_size_per_layer_input", 0, 0, INT32_MAX) > 0)
    unsupported("hidden_size_per_layer_input", "per-layer embeddings", "0");
  if (!drafter && text.integer_or("num_kv_shared_layers", 0, 0, INT32_MAX) > 0)
    unsupported("num_kv_shared_layers", "KV sharing between layers", "0");
  if (text.boolean_or("use_double_wide_mlp", false))
    unsupported("use_double_wide_mlp", "double-wide MLPs", "false");
  if (text.boolean_or("attention_bias", false)) unsupported("attention_bias", "attention biases", "false");
  if (!text.boolean_or("tie_word_embeddings", true))
    unsupported("tie_word_embeddings", "an output matrix of its own", "true");
  if (text.number_or("attn_logit_softcapping", 0, 0, 1e6) > 0)
    unsupported("attn_logit_softcapping", "a softcap of attention scores", "null");
  if (text.has("rope_scaling")) unsupported("rope_scaling", "rope scaling", "null");
  if (text.text_or("hidden_activation", "gelu_pytorch_tanh") != "gelu_pytorch_tanh")
    text.refuse("hidden_activation", "\"gelu_pytorch_tanh\"");
  const auto& json = text.json();
  if (const auto it = json.find("use_bidirectional_attention");
      it != json.end() && *it != "vision" && !it->is_null())
    text.refuse("use_bidirectional_attention", "\"vision\"");
}

/// S,S,S,S,S,F repeated when layer_types is absent; otherwise any sequence.
std::vector<bool> read_layer_types(const JsonFields& text, ModelConfig& config) {
  std::vector<bool> sliding;
  if (!text.has("layer_types")) {
    const auto layers = text.integer("num_hidden_layers", 1, kMaxLayers);
    for (int64_t i = 0; i < layers; ++i) sliding.push_back(i % 6 != 5);
    return sliding;
  }
  const FileJson& types = text.json()["layer_types"];
  if (!types.is_array() || types.empty() || types.size() > kMaxLayers)
    text.refuse("layer_types", fmt::format("a list of 1 to {} layer types", kMaxLayers));
  for (const FileJson& type : types) {
    if (type != "sliding_attention" && type != "full_attention")
      text.refuse("layer_types", "a list of \"sliding_attention\" and \"full_attention\"");
    sliding.push_back(type == "sliding_attention");
  }
  const auto count = static_cast<int64_t>(sliding.size());
  if (text.integer_or("num_hidden_layers", count, 1, kMaxLayers) != count)
    throw_error(ErrorKind::kBadModel, "{}: num_hidden_layers is {}, but layer_types has {} entries",
                text.file(), text.integer("num_hidden_layers", 1, kMaxLayers), count);
  config.layers.reserve(sliding.size());
  return sliding;
}

/// "5" or "05" → 5.
size_t layer_index(const JsonFields& per_layer, const std::string& key, size_t layers) {
  size_t index = 0;
  const bool digits =
      !key.empty() && key.size() <= 8 && key.find_first_not_of("0123456789") == std::string::npos;
  if (digits) index = std::stoul(key);
  if (!digits || index >= layers)
    throw_error(ErrorKind::kBadModel, "{}: per_layer_config has an entry for layer \"{}\", expected 0 to {}",
                per_layer.file(), printable(key), layers - 1);
  return index;
}

/// Head shapes: the plain pair for sliding layers, the global pair for full ones; an entry of
/// per_layer_config wins over both, and what it leaves out is the plain value.
void read_layers(const JsonFields& text, ModelConfig& config) {
  const std::vector<bool> sliding = read_layer_types(text, config);
  const auto head_dim = static_cast<int>(text.integer_or("head_dim", 256, 2, kMaxHeadDim));
  const auto kv_heads = static_cast<int>(text.integer_or("num_key_value_heads", 8, 1, kMaxHeads));
  const auto full_dim = static_cast<int>(text.integer_or("global_head_dim", head_dim, 2, kMaxHeadDim));
  const auto full_kv =
      static_cast<int>(text.integer_or("num_global_key_value_heads", kv_heads, 1, kMaxHeads));
  const bool k_eq_v = text.boolean_or("attention_k_eq_v", true);
  for (const bool s : sliding)
    config.layers.push_back({s, s ? kv_heads : full_kv, s ? head_dim : full_dim, !s && k_eq_v});

  if (const auto per_layer = text.object("per_layer_config")) {
    std::vector<bool> seen(config.layers.size());
    for (const auto& [key, value] : per_layer->json().items()) {
      const size_t index = layer_index(*per_layer, key, config.layers.size());
      if (seen[index])
        throw_error(ErrorKind::kBadModel, "{}: per_layer_config has layer {} twice", text.file(), index);
      seen[index] = true;
      const auto entry = per_layer->object(key.c_str());
      if (!entry) continue;
      config.layers[index].head_dim =
          static_cast<int>(entry->integer_or("head_dim", head_dim, 2, kMaxHeadDim));
      config.layers[index].kv_heads =
          static_cast<int>(entry->integer_or("num_key_value_heads", kv_heads, 1, kMaxHeads));
    }
  }
  check_layers(config, text.file());
}

/// One kind of layer: `from` is that kind's object, or nothing. `absent` is what the published file says.
RopeConfig read_rope(const std::optional<JsonFields>& from, const RopeConfig& absent) {
  if (!from) return absent;
  RopeConfig rope;
  rope.theta = from->number_or("rope_theta", absent.theta, 1.0, 1e12);
  const bool rotates_all = absent.rotary_fraction == 1.0;
  const std::string type = from->text_or("rope_type", rotates_all ? "default" : "proportional");
  if (type != "default" && type != "proportional")
    from->refuse("rope_type", "\"default\" or \"proportional\"");
  if (from->number_or("factor", 1.0, 0.0, 1e9) != 1.0) from->refuse("factor", "1 (no rope scaling)");
  rope.rotary_fraction =
      from->number_or("partial_rotary_factor", type == "default" ? 1.0 : absent.rotary_fraction, 1e-3, 1.0);
  // transformers' "default" rope would divide the exponents by the rotated width, not by head_dim.
  if (type == "default" && rope.rotary_fraction != 1.0)
    from->refuse("partial_rotary_factor", "1 with rope_type default");
  return rope;
}

/// rope_parameters by layer type, or one flat object, which then speaks of the full layers as the older
/// rope_theta and rope_local_base_freq do.
void read_ropes(const JsonFields& text, ModelConfig& config) {
  RopeConfig sliding{10000, 1.0}, full{1000000, 0.25};
  sliding.theta = text.number_or("rope_local_base_freq", sliding.theta, 1.0, 1e12);
  full.theta = text.number_or("rope_theta", full.theta, 1.0, 1e12);
  const auto parameters = text.object("rope_parameters");
  const bool nested =
      parameters && (parameters->has("sliding_attention") || parameters->has("full_attention"));
  config.rope_sliding = nested ? read_rope(parameters->object("sliding_attention"), sliding) : sliding;
  config.rope_full =
      nested ? read_rope(parameters->object("full_attention"), full) : read_rope(parameters, full);
}

}  // namespace

void check_layers(const ModelConfig& config, const std::string& file) {
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerConfig& layer = config.layers[i];
    if (layer.head_dim % 2 != 0)
      throw_error(ErrorKind::kBadModel,
                  "{}: layer {} has head_dim {}, expected an even number (rope turns pairs)", file, i,
                  layer.head_dim);
    if (config.q_heads % layer.kv_heads != 0)
      throw_error(ErrorKind::kBadModel,
                  "{}: layer {} has {} KV heads, expected a divisor of the {} query heads", file, i,
                  layer.kv_heads, config.q_heads);
  }
}

float embed_scale_of(int hidden) {
  return bf16_to_f32(f32_to_bf16(std::sqrt(static_cast<float>(hidden))));
}

void read_text_config(const JsonFields& text, ModelConfig& config) {
  refuse_unsupported(text, config.drafter.has_value());
  config.hidden = static_cast<int>(text.integer("hidden_size", 1, kMaxHidden));
  config.intermediate = static_cast<int>(text.integer("intermediate_size", 1, kMaxIntermediate));
  config.q_heads = static_cast<int>(text.integer("num_attention_heads", 1, kMaxHeads));
  config.vocab = static_cast<int>(text.integer("vocab_size", 1, kMaxVocab));
  config.max_context = static_cast<int>(text.integer_or("max_position_embeddings", 262144, 1, kMaxContext));
  config.window = static_cast<int>(text.integer_or("sliding_window", 1024, 1, kMaxContext));
  config.rms_eps = static_cast<float>(text.number_or("rms_norm_eps", 1e-6, 1e-12, 1e-2));
  config.logit_softcap = static_cast<float>(text.number_or("final_logit_softcapping", 0, 0, 1e6));
  config.embed_scale = embed_scale_of(config.hidden);
  read_layers(text, config);
  read_ropes(text, config);
}

}  // namespace tessera
