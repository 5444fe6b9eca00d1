#pragma once
// The model's hyper-parameters, from config.json, generation_config.json and processor_config.json, or from a
// GGUF's metadata.
// Every value is checked; what a file leaves out is derived or has the published default.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

class TensorStore;

struct RopeConfig {
  double theta = 10000;
  double rotary_fraction = 1.0;  // share of head_dim that rotates; frequencies use the full head_dim
};

struct LayerConfig {
  bool sliding = true;
  int kv_heads = 0, head_dim = 0;
  bool v_is_k = false;  // what the config says; the tensor list decides (bind)
};

/// What a drafter has beside its layers (docs/spec/mtp.md §1, §6).
struct DrafterConfig {
  int target_hidden = 0;  // width of the model that it drafts for
  // Centroid head: only the tokens of the best clusters get a logit of their own.
  bool ordered = false;
  int centroids = 0, best_centroids = 0;
};

struct ModelConfig {
  std::string path;  // directory or GGUF file, for errors
  // text
  int hidden = 0, intermediate = 0, q_heads = 0, vocab = 0, max_context = 0, window = 0;
  float rms_eps = 1e-6F;
  float logit_softcap = 0;  // 0: none
  float embed_scale = 0;    // sqrt(hidden) rounded to bfloat16
  std::vector<LayerConfig> layers;
  RopeConfig rope_sliding, rope_full;
  // vision
  int patch = 48, mm_embed = 0, positions = 0;  // pos_embedding is [positions, 2, mm_embed]; 0: no vision
  float vision_rms_eps = 1e-6F, layer_norm_eps = 1e-5F;
  // audio
  int audio_samples_per_token = 640;  // 0: no audio
  float audio_rms_eps = 1e-6F;
  int audio_hz = 16000;
  // ids
  int bos = 2, pad = 0;
  int image_token = -1, audio_token = -1, video_token = -1;
  int image_begin = -1, image_end = -1, audio_begin = -1, audio_end = -1;
  std::vector<int32_t> end_tokens, suppressed_tokens;
  // processor and generation defaults
  int image_budget = 280, video_budget = 70, video_frames = 32;
  float temperature = 1.0F, top_p = 0.95F;
  int top_k = 64;

  std::optional<DrafterConfig> drafter;  // of a drafter: its layers have no K and V of their own

  /// Throws Error(kIo | kBadModel) naming file, key, found, expected.
  static ModelConfig load(const std::string& directory);
  /// From the metadata of TensorStore::open_gguf, and from the few tensors that stand for a key (rope_freqs,
  /// the number of positions). No vision and no audio without an mmproj. Throws Error(kBadModel) as above,
  /// also for an mmproj of another model.
  static ModelConfig load_gguf(const TensorStore& store);
};

}  // namespace tessera
