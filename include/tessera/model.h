#pragma once
// What a model is, read from its headers and config.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// How the next token is chosen. The defaults are the published 12B's; a model's own are in ModelInfo.
struct Sampling {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 64;            // 0: all
  float top_p = 0.95f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f, presence_penalty = 0.0f, frequency_penalty = 0.0f;
  std::optional<uint64_t> seed;  // absent: a fresh one, reported in Reply
};

struct LayerInfo {
  bool sliding = false;
  int q_heads = 0, kv_heads = 0, head_dim = 0;
  bool v_is_k = false;                // V is the K projection before its norm
  int64_t parameters = 0, bytes = 0;  // of its weights; bytes as the file has them
};

struct TensorCount {
  std::string dtype;  // "BF16", "F32", "affine 8-bit/64" …
  int64_t tensors = 0, parameters = 0, bytes = 0;
};

/// What `tessera inspect` prints. Counts are parameters, sizes are bytes.
struct ModelInfo {
  std::string path, format;  // "safetensors, 3 files", "GGUF, 1 file and an mmproj"
  std::string mmproj;        // the file that a GGUF model's vision and audio come from; "" for none
  std::string drafter;       // its directory or file; "" for none
  std::string note;          // why an mmproj or a drafter beside the model is not used; "" for nothing to say
  int hidden = 0, intermediate = 0, vocab = 0, max_context = 0, window = 0;
  int mm_embed = 0, audio_samples_per_token = 0;
  float logit_softcap = 0;    // 0: none
  int drafts_for_hidden = 0;  // of a drafter: hidden size of its model; else 0
  std::vector<LayerInfo> layers;
  int64_t embedding_parameters = 0, text_parameters = 0;            // text: embedding + layers + final norm
  int64_t vision_parameters = 0, vision_projection_parameters = 0;  // patch path; its last projection
  int64_t audio_parameters = 0, total_parameters = 0;
  std::vector<TensorCount> dtypes;
  int64_t file_bytes = 0;
  int vocab_entries = 0, merges = 0, control_tokens = 0;
  std::vector<int32_t> end_tokens, suppressed_tokens;
  int default_image_budget = 280, default_video_budget = 70;
  Sampling default_sampling;  // generation_config.json; temperature 0 where it says do_sample false
  /// The KV cache's number format when EngineOptions::kv is "": "bf16" when weights are quantised, else
  /// "f32".
  std::string default_kv = "f32";
  /// Bytes of weights as the CPU backend holds them, and of the KV cache at `context_tokens`; kv as in
  /// EngineOptions, "": default_kv.
  int64_t weight_bytes = 0, drafter_weight_bytes = 0;
  int64_t kv_bytes(int64_t context_tokens, int chunk_tokens = 512, const std::string& kv = "") const;
};

/// Reads headers and config only. `path`, `mmproj_path`: as Engine::load and EngineOptions take them. Throws
/// kIo, kBadModel, kBadRequest. Any thread.
ModelInfo inspect_model(const std::string& path, const std::string& mmproj_path = "");

/// Soft tokens that a model gives an image and a video frame by default.
struct MediaBudgets {
  int image = 280, video_frame = 70;
};
/// Reads the config only. Throws as inspect_model.
MediaBudgets media_budgets(const std::string& path);

}  // namespace tessera
