#include "engine/synth_files.h"

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// What the two geometries differ in. Sources: docs/spec/model.md §2, tests/fixtures/tiny/config.json.
struct Geometry {
  int hidden, intermediate, q_heads, kv_heads, head_dim, full_head_dim, vocab, context, window;
  int image, audio, video, image_begin, image_end, audio_begin, audio_end;
};
constexpr Geometry k12B = {3840, 15360,  16,     8,      256,    512,    262144, 262144,
                           1024, 258880, 258881, 258884, 255999, 258882, 256000, 258883};
constexpr Geometry kTiny = {64, 160, 4, 2, 16, 32, 1024, 4096, 16, 19, 22, 23, 17, 18, 20, 21};

OrderedJson text_config(const Geometry& g, int layers) {
  OrderedJson types = OrderedJson::array();
  for (int i = 0; i < layers; ++i) types.push_back(i % 6 == 5 ? "full_attention" : "sliding_attention");
  OrderedJson rope;
  rope["full_attention"] = {
      {"partial_rotary_factor", 0.25}, {"rope_theta", 1000000.0}, {"rope_type", "proportional"}};
  rope["sliding_attention"] = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  return {{"model_type", "gemma4_unified_text"},
          {"hidden_size", g.hidden},
          {"num_hidden_layers", layers},
          {"intermediate_size", g.intermediate},
          {"num_attention_heads", g.q_heads},
          {"num_key_value_heads", g.kv_heads},
          {"num_global_key_value_heads", 1},
          {"head_dim", g.head_dim},
          {"global_head_dim", g.full_head_dim},
          {"attention_k_eq_v", true},
          {"attention_bias", false},
          {"sliding_window", g.window},
          {"layer_types", types},
          {"rope_parameters", rope},
          {"rms_norm_eps", 1e-6},
          {"hidden_activation", "gelu_pytorch_tanh"},
          {"final_logit_softcapping", 30.0},
          {"vocab_size", g.vocab},
          {"max_position_embeddings", g.context},
          {"use_bidirectional_attention", "vision"},
          {"num_kv_shared_layers", 0},
          {"hidden_size_per_layer_input", 0},
          {"use_double_wide_mlp", false},
          {"enable_moe_block", false},
          {"tie_word_embeddings", true},
          {"pad_token_id", 0},
          {"eos_token_id", 1},
          {"bos_token_id", 2}};
}

OrderedJson image_processor(const char* class_name, const char* type_key, int max_soft_tokens) {
  return {{type_key, class_name},
          {"do_convert_rgb", true},
          {"do_resize", true},
          {"resample", 3},
          {"do_rescale", true},
          {"rescale_factor", 0.00392156862745098},
          {"image_mean", {0.0, 0.0, 0.0}},
          {"image_std", {1.0, 1.0, 1.0}},
          {"patch_size", 16},
          {"pooling_kernel_size", 3},
          {"max_soft_tokens", max_soft_tokens}};
}

}  // namespace

std::string synth_config_json(bool tiny, int layers) {
  const Geometry& g = tiny ? kTiny : k12B;
  const OrderedJson config = {{"architectures", {"Gemma4UnifiedForConditionalGeneration"}},
                              {"model_type", "gemma4_unified"},
                              {"dtype", "bfloat16"},
                              {"tie_word_embeddings", true},
                              {"image_token_id", g.image},
                              {"audio_token_id", g.audio},
                              {"video_token_id", g.video},
                              {"boi_token_id", g.image_begin},
                              {"eoi_token_id", g.image_end},
                              {"boa_token_id", g.audio_begin},
                              {"eoa_token_index", g.audio_end},
                              {"text_config", text_config(g, layers)},
                              {"vision_config",
                               {{"model_type", "gemma4_unified_vision"},
                                {"patch_size", 16},
                                {"pooling_kernel_size", 3},
                                {"model_patch_size", 48},
                                {"mm_embed_dim", g.hidden},
                                {"mm_posemb_size", 1120},
                                {"num_soft_tokens", 280},
                                {"output_proj_dims", g.hidden},
                                {"rms_norm_eps", 1e-6}}},
                              {"audio_config",
                               {{"model_type", "gemma4_unified_audio"},
                                {"audio_samples_per_token", 640},
                                {"audio_embed_dim", 640},
                                {"rms_norm_eps", 1e-6}}}};
  return config.dump(2) + "\n";
}

std::string synth_generation_json(bool tiny) {
  const OrderedJson ends = tiny ? OrderedJson{1, 16} : OrderedJson{1, 106, 50};
  const OrderedJson generation = {{"bos_token_id", 2},  {"eos_token_id", ends},
                                  {"pad_token_id", 0},  {"do_sample", true},
                                  {"temperature", 1.0}, {"top_k", 64},
                                  {"top_p", 0.95},      {"suppress_tokens", OrderedJson::array()}};
  return generation.dump(2) + "\n";
}

std::string synth_processor_json() {
  OrderedJson image = image_processor("Gemma4UnifiedImageProcessor", "image_processor_type", 280);
  image["do_normalize"] = false;
  OrderedJson video = image_processor("Gemma4UnifiedVideoProcessor", "video_processor_type", 70);
  video["do_normalize"] = true;
  video["do_sample_frames"] = true;
  video["num_frames"] = 32;
  const OrderedJson processor = {{"processor_class", "Gemma4UnifiedProcessor"},
                                 {"image_seq_length", 280},
                                 {"audio_seq_length", 750},
                                 {"audio_ms_per_token", 40},
                                 {"image_processor", image},
                                 {"video_processor", video},
                                 {"feature_extractor",
                                  {{"feature_extractor_type", "Gemma4UnifiedAudioFeatureExtractor"},
                                   {"feature_size", 640},
                                   {"sampling_rate", 16000},
                                   {"audio_samples_per_token", 640},
                                   {"padding_value", 0.0},
                                   {"padding_side", "right"}}}};
  return processor.dump(2) + "\n";
}

}  // namespace tessera
