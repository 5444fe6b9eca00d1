#include "engine/synth_files.h"

#include <nlohmann/json.hpp>

#include "engine/hf_files.h"

namespace tessera {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// The 12B, or the small test checkpoint. Sources: docs/spec/model.md §2, tests/fixtures/tiny/config.json.
ModelConfig synth_config(bool tiny, int layers) {
  ModelConfig c;
  if (tiny) {
    c.hidden = 64, c.intermediate = 160, c.q_heads = 4, c.vocab = 1024, c.max_context = 4096, c.window = 16;
    c.image_token = 19, c.audio_token = 22, c.video_token = 23;
    c.image_begin = 17, c.image_end = 18, c.audio_begin = 20, c.audio_end = 21;
    c.end_tokens = {1, 16};
  } else {
    c.hidden = 3840, c.intermediate = 15360, c.q_heads = 16, c.vocab = 262144, c.max_context = 262144,
    c.window = 1024;
    c.image_token = 258880, c.audio_token = 258881, c.video_token = 258884;
    c.image_begin = 255999, c.image_end = 258882, c.audio_begin = 256000, c.audio_end = 258883;
    c.end_tokens = {1, 106, 50};
  }
  c.logit_softcap = 30;
  c.rope_sliding = {10000, 1};
  c.rope_full = {1000000, 0.25};
  const LayerConfig sliding{true, tiny ? 2 : 8, tiny ? 16 : 256, false},
      full{false, 1, tiny ? 32 : 512, true};
  for (int i = 0; i < layers; ++i) c.layers.push_back(i % 6 == 5 ? full : sliding);
  c.mm_embed = c.hidden, c.positions = 1120;
  return c;
}

/// The 12B's drafter (docs/spec/mtp.md §1), or one for the small test checkpoint.
ModelConfig synth_drafter_config(bool tiny) {
  ModelConfig c = synth_config(tiny, 6);
  c.drafter = DrafterConfig{.target_hidden = c.hidden};
  c.hidden = tiny ? 48 : 1024;
  c.intermediate = tiny ? 96 : 8192;
  c.logit_softcap = 0;
  c.layers.erase(c.layers.begin(), c.layers.begin() + 2);
  c.mm_embed = c.audio_samples_per_token = 0;
  return c;
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
  return config_json_of(synth_config(tiny, layers));
}

std::string synth_drafter_json(bool tiny) {
  return config_json_of(synth_drafter_config(tiny));
}

std::string synth_generation_json(bool tiny) {
  return generation_json_of(synth_config(tiny, 1));
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
