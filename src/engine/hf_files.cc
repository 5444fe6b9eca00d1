#include "engine/hf_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tessera {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// The shortest decimal that is this float32: 1e-06, not 9.999999974752427e-07.
double shortest(float value) {
  double best = value;
  for (int digits = 1; digits < 9; ++digits) {
    char text[40];
    std::snprintf(text, sizeof text, "%.*g", digits, static_cast<double>(value));
    best = std::strtod(text, nullptr);
    if (static_cast<float>(best) == value) break;
  }
  return best;
}

/// The first layer of a kind; of the other kind when there is none.
const LayerConfig& layer_of(const ModelConfig& c, bool sliding) {
  const auto it = std::find_if(c.layers.begin(), c.layers.end(),
                               [&](const LayerConfig& layer) { return layer.sliding == sliding; });
  return it != c.layers.end() ? *it : c.layers.front();
}

OrderedJson text_config(const ModelConfig& c) {
  const LayerConfig &plain = layer_of(c, true), &full = layer_of(c, false);
  OrderedJson types = OrderedJson::array(), per_layer = OrderedJson::object();
  bool v_is_k = false;
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const LayerConfig& layer = c.layers[i];
    types.push_back(layer.sliding ? "sliding_attention" : "full_attention");
    v_is_k = v_is_k || layer.v_is_k;
    const LayerConfig& kind = layer.sliding ? plain : full;
    if (layer.head_dim != kind.head_dim || layer.kv_heads != kind.kv_heads)
      per_layer[std::to_string(i)] = {{"head_dim", layer.head_dim}, {"num_key_value_heads", layer.kv_heads}};
  }
  OrderedJson rope;
  rope["full_attention"] = {{"partial_rotary_factor", c.rope_full.rotary_fraction},
                            {"rope_theta", c.rope_full.theta},
                            {"rope_type", "proportional"}};
  rope["sliding_attention"] = {{"rope_theta", c.rope_sliding.theta}, {"rope_type", "default"}};
  OrderedJson text = {
      {"model_type", "gemma4_unified_text"},
      {"hidden_size", c.hidden},
      {"num_hidden_layers", c.layers.size()},
      {"intermediate_size", c.intermediate},
      {"num_attention_heads", c.q_heads},
      {"num_key_value_heads", plain.kv_heads},
      {"num_global_key_value_heads", full.kv_heads},
      {"head_dim", plain.head_dim},
      {"global_head_dim", full.head_dim},
      {"attention_k_eq_v", v_is_k},
      {"attention_bias", false},
      {"sliding_window", c.window},
      {"layer_types", types},
      {"rope_parameters", rope},
      {"rms_norm_eps", shortest(c.rms_eps)},
      {"hidden_activation", "gelu_pytorch_tanh"},
      {"final_logit_softcapping", c.drafter ? OrderedJson(nullptr) : OrderedJson(shortest(c.logit_softcap))},
      {"vocab_size", c.vocab},
      {"max_position_embeddings", c.max_context},
      {"use_bidirectional_attention", "vision"},
      {"num_kv_shared_layers", c.drafter ? c.layers.size() : 0},
      {"hidden_size_per_layer_input", 0},
      {"use_double_wide_mlp", false},
      {"enable_moe_block", false},
      {"tie_word_embeddings", true},
      {"pad_token_id", c.pad},
      {"eos_token_id", c.end_tokens.empty() ? 1 : c.end_tokens.front()},
      {"bos_token_id", c.bos}};
  if (!per_layer.empty()) text["per_layer_config"] = per_layer;
  return text;
}

}  // namespace

std::string config_json_of(const ModelConfig& c) {
  const bool drafter = c.drafter.has_value();
  OrderedJson config = {
      {"architectures",
       {drafter ? "Gemma4UnifiedAssistantForCausalLM" : "Gemma4UnifiedForConditionalGeneration"}},
      {"model_type", drafter ? "gemma4_unified_assistant" : "gemma4_unified"},
      {"dtype", "bfloat16"},
      {"tie_word_embeddings", true}};
  const auto id = [&](const char* key, int value) {
    if (value >= 0) config[key] = value;
  };
  id("image_token_id", c.image_token);
  id("audio_token_id", c.audio_token);
  id("video_token_id", c.video_token);
  id("boi_token_id", c.image_begin);
  id("eoi_token_id", c.image_end);
  id("boa_token_id", c.audio_begin);
  id("eoa_token_index", c.audio_end);
  if (drafter) {
    config["backbone_hidden_size"] = c.drafter->target_hidden;
    config["use_ordered_embeddings"] = c.drafter->ordered;
    if (c.drafter->ordered) {
      config["num_centroids"] = c.drafter->centroids;
      config["centroid_intermediate_top_k"] = c.drafter->best_centroids;
    }
  }
  config["text_config"] = text_config(c);
  if (c.mm_embed > 0)
    config["vision_config"] = {{"model_type", "gemma4_unified_vision"},
                               {"patch_size", c.patch / 3},
                               {"pooling_kernel_size", 3},
                               {"model_patch_size", c.patch},
                               {"mm_embed_dim", c.mm_embed},
                               {"mm_posemb_size", c.positions},
                               {"num_soft_tokens", c.image_budget},
                               {"output_proj_dims", c.hidden},
                               {"rms_norm_eps", shortest(c.vision_rms_eps)}};
  if (c.audio_samples_per_token > 0)
    config["audio_config"] = {{"model_type", "gemma4_unified_audio"},
                              {"audio_samples_per_token", c.audio_samples_per_token},
                              {"audio_embed_dim", c.audio_samples_per_token},
                              {"rms_norm_eps", shortest(c.audio_rms_eps)}};
  return config.dump(2) + "\n";
}

std::string generation_json_of(const ModelConfig& c) {
  const bool greedy = c.temperature == 0;
  const OrderedJson generation = {{"bos_token_id", c.bos},
                                  {"eos_token_id", c.end_tokens},
                                  {"pad_token_id", c.pad},
                                  {"do_sample", !greedy},
                                  {"temperature", greedy ? 1.0 : shortest(c.temperature)},
                                  {"top_k", c.top_k},
                                  {"top_p", shortest(c.top_p)},
                                  {"suppress_tokens", c.suppressed_tokens}};
  return generation.dump(2) + "\n";
}

}  // namespace tessera
