// config.json's top level, vision and audio; generation_config.json; processor_config.json.
// docs/spec/model.md §2.
#include "model/config.h"

#include <algorithm>

#include "base/error.h"
#include "base/file_map.h"
#include "model/config_parts.h"

namespace tessera {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;

void read_vision(const JsonFields& vision, ModelConfig& config) {
  const int64_t derived =
      vision.integer_or("patch_size", 16, 1, 1024) * vision.integer_or("pooling_kernel_size", 3, 1, 64);
  config.patch = static_cast<int>(vision.integer_or("model_patch_size", derived, 1, 65536));
  if (config.patch != derived || config.patch != kPatchPixels)
    throw_error(
        ErrorKind::kBadModel,
        "{}: vision_config has patches of {} pixels (patch_size * pooling_kernel_size = {}), expected {}",
        vision.file(), config.patch, derived, kPatchPixels);
  config.mm_embed = static_cast<int>(vision.integer_or("mm_embed_dim", 3840, 1, 65536));
  config.positions = static_cast<int>(vision.integer_or("mm_posemb_size", 1120, 1, 65536));
  config.vision_rms_eps = static_cast<float>(vision.number_or("rms_norm_eps", 1e-6, 1e-12, 1e-2));
}

void read_audio(const JsonFields& audio, ModelConfig& config) {
  const int64_t embed = audio.integer_or("audio_embed_dim", kAudioSamples, 1, 65536);
  config.audio_samples_per_token =
      static_cast<int>(audio.integer_or("audio_samples_per_token", embed, 1, 65536));
  if (config.audio_samples_per_token != kAudioSamples || embed != kAudioSamples)
    throw_error(ErrorKind::kBadModel,
                "{}: audio_config has {} samples per token and audio_embed_dim {}, expected {} for both",
                audio.file(), config.audio_samples_per_token, embed, kAudioSamples);
  config.audio_rms_eps = static_cast<float>(audio.number_or("rms_norm_eps", 1e-6, 1e-12, 1e-2));
}

/// An id below vocab; `published` when the key is absent and that fits.
int token_id(const JsonFields& top, const char* key, int published, int vocab) {
  if (!top.has(key) && published < vocab) return published;
  return static_cast<int>(top.integer(key, 0, vocab - 1));
}

void read_media_ids(const JsonFields& top, bool vision, bool audio, ModelConfig& config) {
  const int vocab = config.vocab;
  if (vision) {
    config.image_token = token_id(top, "image_token_id", 258880, vocab);
    config.video_token = token_id(top, "video_token_id", 258884, vocab);
    config.image_begin = token_id(top, "boi_token_id", 255999, vocab);
    config.image_end = token_id(top, "eoi_token_id", 258882, vocab);
  }
  if (audio) {
    config.audio_token = token_id(top, "audio_token_id", 258881, vocab);
    config.audio_begin = token_id(top, "boa_token_id", 256000, vocab);
    // Google's file really says "…_index".
    const char* end_key = top.has("eoa_token_id") ? "eoa_token_id" : "eoa_token_index";
    config.audio_end = token_id(top, end_key, 258883, vocab);
  }
}

/// `file`: generation_config.json, or nothing when the checkpoint has none.
void read_generation(const std::optional<JsonFields>& file, const JsonFields& top, const JsonFields& text,
                     ModelConfig& config) {
  const int64_t last = config.vocab - 1;
  const auto id = [&](const char* key, int absent) {
    if (file && file->has(key)) return static_cast<int>(file->integer(key, 0, last));
    return static_cast<int>(text.integer_or(key, absent, 0, last));
  };
  config.bos = id("bos_token_id", 2);
  config.pad = id("pad_token_id", 0);
  auto ends = file ? file->integers("eos_token_id", 0, last) : std::nullopt;
  if (!ends) ends = top.integers("eos_token_id", 0, last);
  if (!ends) ends = text.integers("eos_token_id", 0, last);
  config.end_tokens = ends.value_or(std::vector<int32_t>{1});

  auto suppressed = file ? file->integers("suppress_tokens", 0, last) : std::nullopt;
  if (suppressed) {
    config.suppressed_tokens = *suppressed;  // an empty list: none
  } else {  // files older than the key: the markers that the model leaks into text otherwise
    for (const int marker : {config.image_end, config.audio_end})
      if (marker >= 0) config.suppressed_tokens.push_back(marker);
  }
  if (!file) return;
  config.temperature = static_cast<float>(file->number_or("temperature", 1.0, 0, 1000));
  config.top_p = static_cast<float>(file->number_or("top_p", 0.95, 0, 1));
  config.top_k = static_cast<int>(file->integer_or("top_k", 64, 0, INT32_MAX));
  if (!file->boolean_or("do_sample", true)) config.temperature = 0;  // greedy
}

DrafterConfig read_drafter(const JsonFields& top) {
  DrafterConfig drafter;
  drafter.target_hidden = static_cast<int>(top.integer("backbone_hidden_size", 1, kMaxHidden));
  drafter.ordered = top.boolean_or("use_ordered_embeddings", false);
  if (drafter.ordered) {
    drafter.centroids = static_cast<int>(top.integer("num_centroids", 1, kMaxVocab));
    drafter.best_centroids =
        static_cast<int>(top.integer("centroid_intermediate_top_k", 1, drafter.centroids));
  }
  return drafter;
}

/// Every layer reads K and V of another model.
void check_drafter(const JsonFields& text, const JsonFields& top, const ModelConfig& config) {
  const auto layers = static_cast<int64_t>(config.layers.size());
  const int64_t shared = text.integer_or("num_kv_shared_layers", 0, 0, kMaxLayers);
  if (shared != 0 && shared != layers)
    text.refuse("num_kv_shared_layers",
                fmt::format("{}: no layer of a drafter has K and V of its own", layers));
  if (config.drafter->ordered && config.vocab % config.drafter->centroids != 0)
    top.refuse("num_centroids", fmt::format("a divisor of the vocabulary of {}", config.vocab));
}

int read_budget(const std::optional<JsonFields>& processor, const char* key, int absent) {
  if (!processor) return absent;
  const auto budget = static_cast<int>(processor->integer_or(key, absent, 1, 65536));
  if (budget != 70 && budget != 140 && budget != 280 && budget != 560 && budget != 1120)
    processor->refuse(key, "a soft-token budget: 70, 140, 280, 560 or 1120");
  return budget;
}

void read_processor(const JsonFields& file, ModelConfig& config) {
  // Newer files nest the image settings; older ones have them at the top.
  const auto image = file.object("image_processor");
  config.image_budget = read_budget(file, "image_seq_length", 280);
  config.image_budget = read_budget(image ? image : file, "max_soft_tokens", config.image_budget);
  const auto video = file.object("video_processor");
  config.video_budget = read_budget(video, "max_soft_tokens", 70);
  if (video) config.video_frames = static_cast<int>(video->integer_or("num_frames", 32, 1, 100'000));
  if (const auto audio = file.object("feature_extractor")) {
    config.audio_hz = static_cast<int>(audio->integer_or("sampling_rate", kAudioHz, 1, 1 << 20));
    if (config.audio_hz != kAudioHz) audio->refuse("sampling_rate", fmt::format("{}", kAudioHz));
    for (const char* key : {"feature_size", "audio_samples_per_token"})
      if (audio->integer_or(key, kAudioSamples, 1, 1 << 20) != kAudioSamples)
        audio->refuse(key, fmt::format("{}", kAudioSamples));
  }
}

}  // namespace

ModelConfig ModelConfig::load(const std::string& directory) {
  ModelConfig config;
  config.path = directory;
  const std::string path = directory + "/config.json";
  const FileJson json = read_json_file(path, kMaxConfigBytes);
  const JsonFields top(json, path, "");
  const std::string type = top.text_or("model_type", "");
  const bool text_only = type == "gemma4_unified_text";
  const bool drafter = type == "gemma4_unified_assistant";
  if (type != "gemma4_unified" && !text_only && !drafter)
    top.refuse("model_type",
               "\"gemma4_unified\" or \"gemma4_unified_text\": this engine runs Gemma 4 Unified only");
  if (drafter) config.drafter = read_drafter(top);
  if (!top.boolean_or("tie_word_embeddings", true)) top.refuse("tie_word_embeddings", "true");
  if (!text_only && !top.has("text_config")) top.refuse("text_config", "an object");
  const JsonFields text = text_only ? top : *top.object("text_config");
  read_text_config(text, config);
  if (drafter) check_drafter(text, top, config);

  const auto vision = text_only ? std::nullopt : top.object("vision_config");
  const auto audio = text_only ? std::nullopt : top.object("audio_config");
  config.audio_samples_per_token = 0;
  if (vision) read_vision(*vision, config);
  if (audio) read_audio(*audio, config);
  read_media_ids(top, vision.has_value(), audio.has_value(), config);
  check_quantization(top);

  const std::string generation_path = directory + "/generation_config.json";
  const FileJson generation =
      file_exists(generation_path) ? read_json_file(generation_path, kMaxConfigBytes) : FileJson(nullptr);
  read_generation(
      generation.is_null() ? std::nullopt : std::optional(JsonFields(generation, generation_path, "")), top,
      text, config);

  const std::string processor_path = directory + "/processor_config.json";
  if (file_exists(processor_path)) {
    const FileJson processor = read_json_file(processor_path, kMaxConfigBytes);
    read_processor(JsonFields(processor, processor_path, ""), config);
  }
  return config;
}

}  // namespace tessera
