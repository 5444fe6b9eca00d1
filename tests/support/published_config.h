#pragma once
// The published 12B configuration (docs/spec/model.md §2), for tests to change.
#include <nlohmann/json.hpp>
#include <string>

#include "support/temp_dir.h"

namespace tessera {

inline nlohmann::json published_config(int layers = 48) {
  auto config = nlohmann::json::parse(R"({
    "architectures": ["Gemma4UnifiedForConditionalGeneration"], "model_type": "gemma4_unified", "dtype": "bfloat16",
    "tie_word_embeddings": true, "initializer_range": 0.02, "transformers_version": "5.10.0.dev0",
    "image_token_id": 258880, "audio_token_id": 258881, "video_token_id": 258884,
    "boi_token_id": 255999, "eoi_token_id": 258882, "boa_token_id": 256000, "eoa_token_index": 258883,
    "text_config": {
      "model_type": "gemma4_unified_text", "hidden_size": 3840, "vocab_size": 262144, "num_hidden_layers": 48,
      "intermediate_size": 15360, "num_attention_heads": 16, "hidden_activation": "gelu_pytorch_tanh",
      "num_key_value_heads": 8, "num_global_key_value_heads": 1, "head_dim": 256, "global_head_dim": 512,
      "attention_k_eq_v": true, "attention_bias": false, "attention_dropout": 0.0, "sliding_window": 1024,
      "final_logit_softcapping": 30.0, "rms_norm_eps": 1e-6, "max_position_embeddings": 262144,
      "use_bidirectional_attention": "vision", "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0,
      "vocab_size_per_layer_input": 262144, "use_double_wide_mlp": false, "enable_moe_block": false,
      "num_experts": null, "top_k_experts": null, "moe_intermediate_size": null, "tie_word_embeddings": true,
      "use_cache": true, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
      "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0, "partial_rotary_factor": 0.25}}},
    "vision_config": {"model_type": "gemma4_unified_vision", "patch_size": 16, "pooling_kernel_size": 3,
      "model_patch_size": 48, "mm_embed_dim": 3840, "mm_posemb_size": 1120, "num_soft_tokens": 280,
      "output_proj_dims": 3840, "rms_norm_eps": 1e-6},
    "audio_config": {"model_type": "gemma4_unified_audio", "audio_samples_per_token": 640, "audio_embed_dim": 640,
      "hidden_size": 640, "output_proj_dims": 640, "rms_norm_eps": 1e-6}})");
  auto& text = config["text_config"];
  text["num_hidden_layers"] = layers;
  for (int i = 0; i < layers; ++i)
    text["layer_types"].push_back(i % 6 == 5 ? "full_attention" : "sliding_attention");
  return config;
}

inline nlohmann::json published_generation() {
  return nlohmann::json::parse(
      R"({"bos_token_id": 2, "eos_token_id": [1, 106, 50], "pad_token_id": 0, "do_sample": true,
    "temperature": 1.0, "top_k": 64, "top_p": 0.95, "suppress_tokens": [258883, 258882]})");
}

}  // namespace tessera
