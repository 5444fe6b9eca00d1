// ModelConfig from a GGUF's metadata and its mmproj's. docs/spec/formats.md §2.1, §2.3.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "format/affine.h"
#include "format/gguf.h"
#include "format/json.h"
#include "model/config_parts.h"

namespace tessera {
namespace {

/// "gemma4.block_count", "gemma4-assistant.block_count".
std::string key(const GgufMetadata& file, const char* name) {
  return file.text_or("general.architecture", "") + "." + name;
}

/// Features of sibling models. Computing such a model without them would give plausible nonsense.
void refuse_unsupported(const GgufMetadata& file, bool drafter) {
  const auto absent_or_0 = [&](const char* name, const char* feature) {
    if (file.number_or(key(file, name), 0, -1e18, 1e18) != 0)
      file.refuse(key(file, name),
                  fmt::format("0: this engine runs the dense 12B Unified model, without {}", feature));
  };
  if (!drafter) absent_or_0("attention.shared_kv_layers", "KV sharing between layers");
  absent_or_0("embedding_length_per_layer_input", "per-layer embeddings");
  absent_or_0("expert_count", "mixture of experts");
  absent_or_0("expert_feed_forward_length", "mixture of experts");
  absent_or_0("attn_logit_softcapping", "a softcap of attention scores");
  if (file.text_or(key(file, "rope.scaling.type"), "none") != "none")
    file.refuse(key(file, "rope.scaling.type"),
                "\"none\": this engine runs the published model, without rope scaling");
}

/// One value for each layer: an array of them, or one for all. Throws when absent.
std::vector<int64_t> per_layer(const GgufMetadata& file, const char* name, size_t layers, int64_t max) {
  const std::string k = key(file, name);
  auto values = file.integers(k, 1, max, kMaxLayers);
  if (!values) file.refuse(k, fmt::format("an integer or an array of {}, one for each layer", layers));
  if (values->size() == 1) values->resize(layers, values->front());
  if (values->size() != layers)
    file.refuse(k, fmt::format("an array of {}, one for each of {}", layers, key(file, "block_count")));
  return *values;
}

int64_t same_for_all(const GgufMetadata& file, const char* name, size_t layers, int64_t max) {
  const auto values = per_layer(file, name, layers, max);
  if (std::any_of(values.begin(), values.end(), [&](int64_t v) { return v != values.front(); }))
    file.refuse(key(file, name), "the same value for every layer, as in the 12B Unified model");
  return values.front();
}

/// S,S,S,S,S,F repeated when the key is absent.
std::vector<int64_t> read_pattern(const GgufMetadata& file, size_t layers) {
  const std::string k = key(file, "attention.sliding_window_pattern");
  auto sliding = file.integers(k, 0, 1, kMaxLayers);
  if (!sliding) {
    sliding.emplace();
    for (size_t i = 0; i < layers; ++i) sliding->push_back(i % 6 != 5 ? 1 : 0);
  }
  if (sliding->size() != layers)
    file.refuse(k,
                fmt::format("an array of {} booleans, one for each of {}", layers, key(file, "block_count")));
  return *sliding;
}

/// K's and V's width of one kind of layer, which rope turns as a whole.
int read_head_dim(const GgufMetadata& file, const std::string& suffix) {
  const auto dim = file.integer(key(file, ("attention.key_length" + suffix).c_str()), 2, kMaxHeadDim);
  for (const std::string& other : {"attention.value_length" + suffix, "rope.dimension_count" + suffix})
    if (file.integer_or(key(file, other.c_str()), dim, 0, INT32_MAX) != dim)
      file.refuse(key(file, other.c_str()),
                  fmt::format("{}, as {}", dim, key(file, ("attention.key_length" + suffix).c_str())));
  return static_cast<int>(dim);
}

void read_layers(const GgufMetadata& file, ModelConfig& config) {
  const auto layers = static_cast<size_t>(file.integer(key(file, "block_count"), 1, kMaxLayers));
  const auto sliding = read_pattern(file, layers);
  const auto kv_heads = per_layer(file, "attention.head_count_kv", layers, kMaxHeads);
  config.q_heads = static_cast<int>(same_for_all(file, "attention.head_count", layers, kMaxHeads));
  config.intermediate = static_cast<int>(same_for_all(file, "feed_forward_length", layers, kMaxIntermediate));
  const auto has = [&](int64_t kind) {
    return std::find(sliding.begin(), sliding.end(), kind) != sliding.end();
  };
  const int full_dim = has(0) ? read_head_dim(file, "") : 0;
  const int sliding_dim = has(1) ? read_head_dim(file, "_swa") : 0;
  for (size_t i = 0; i < layers; ++i)
    config.layers.push_back({sliding[i] != 0, static_cast<int>(kv_heads[i]),
                             sliding[i] != 0 ? sliding_dim : full_dim, sliding[i] == 0});
  check_layers(config, file.file());
}

/// rope_freqs holds what the full layers' frequencies are divided by: 1 for the share that turns, 1e30 for
/// the rest.
double read_rotary_fraction(const TensorStore& store, const ModelConfig& config) {
  const GgufMetadata& file = *store.gguf();
  const auto full = std::find_if(config.layers.begin(), config.layers.end(),
                                 [](const LayerConfig& layer) { return !layer.sliding; });
  if (full == config.layers.end()) return RopeConfig{}.rotary_fraction;
  const int64_t pairs = full->head_dim / 2;
  const FileTensor* t = store.find("rope_freqs.weight");
  if (t == nullptr)
    throw_error(ErrorKind::kBadModel,
                "{}: tensor rope_freqs.weight is missing, expected [{}]; is the download "
                "complete?",
                config.path, pairs);
  if (t->shape != std::vector{pairs})
    throw_error(ErrorKind::kBadModel, "{}: rope_freqs.weight is {}, expected [{}], half of {}", t->file,
                t->shape_text(), pairs, key(file, "attention.key_length"));
  std::vector<float> divisors(static_cast<size_t>(pairs));
  read_rows_f32(*t, 0, 1, divisors.data());
  const auto rest = std::find_if(divisors.begin(), divisors.end(), [](float d) { return d != 1; });
  const auto turning = rest - divisors.begin();
  const bool still = std::all_of(rest, divisors.end(), [](float d) { return d >= 1e20F; });
  if (turning == 0 || !still)
    throw_error(
        ErrorKind::kBadModel,
        "{}: rope_freqs.weight has {} ones and then {:g}, expected ones and then values above 1e20 (the "
        "pairs that do not turn); this engine runs the published model, without rope scaling",
        t->file, turning, still ? 1.0F : *rest);
  const double fraction = static_cast<double>(turning) / static_cast<double>(pairs);
  // The binder truncates, as the reference does.
  return static_cast<int64_t>(fraction * full->head_dim / 2) == turning ? fraction
                                                                        : std::nextafter(fraction, 2);
}

void read_text(const GgufMetadata& file, const TensorStore& store, ModelConfig& config) {
  refuse_unsupported(file, config.drafter.has_value());
  config.hidden = static_cast<int>(file.integer(key(file, "embedding_length"), 1, kMaxHidden));
  config.max_context = static_cast<int>(file.integer_or(key(file, "context_length"), 262144, 1, kMaxContext));
  config.window =
      static_cast<int>(file.integer_or(key(file, "attention.sliding_window"), 1024, 1, kMaxContext));
  config.rms_eps =
      static_cast<float>(file.number_or(key(file, "attention.layer_norm_rms_epsilon"), 1e-6, 1e-12, 1e-2));
  config.logit_softcap = static_cast<float>(
      file.number_or(key(file, "final_logit_softcapping"), config.drafter ? 0 : 30, 0, 1e6));
  config.embed_scale = embed_scale_of(config.hidden);
  read_layers(file, config);
  config.rope_sliding = {file.number_or(key(file, "rope.freq_base_swa"), 10000, 1, 1e12), 1.0};
  config.rope_full = {file.number_or(key(file, "rope.freq_base"), 1000000, 1, 1e12),
                      read_rotary_fraction(store, config)};
}

DrafterConfig read_drafter(const GgufMetadata& file) {
  if (file.boolean_or(key(file, "use_ordered_embeddings"), false))
    file.refuse(key(file, "use_ordered_embeddings"), "false: no GGUF names the centroids' tensors");
  return {.target_hidden = static_cast<int>(file.integer(key(file, "embedding_length_out"), 1, kMaxHidden))};
}

/// A drafter's vocabulary is its model's: the rows of its output matrix count it.
void read_drafter_rest(const GgufMetadata& file, const TensorStore& store, ModelConfig& config) {
  const auto layers = static_cast<int64_t>(config.layers.size());
  const std::string shared = key(file, "attention.shared_kv_layers");
  if (file.integer_or(shared, layers, 0, kMaxLayers) != layers)
    file.refuse(shared, fmt::format("{}: no layer of a drafter has K and V of its own", layers));
  const FileTensor* embedding = store.find("model.language_model.embed_tokens.weight");
  if (embedding == nullptr || embedding->shape.empty() || embedding->shape[0] < 1 ||
      embedding->shape[0] > kMaxVocab)
    throw_error(ErrorKind::kBadModel, "{}: tensor token_embd.weight is missing or misshapen", file.file());
  config.vocab = static_cast<int>(embedding->shape[0]);
}

void read_ids(const GgufMetadata& file, const TensorStore& store, ModelConfig& config) {
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->empty() || tokens->size() > kMaxVocab)
    file.refuse("tokenizer.ggml.tokens", fmt::format("an array of 1 to {} strings", kMaxVocab));
  config.vocab = static_cast<int>(tokens->size());
  const FileTensor* embedding = store.find("model.language_model.embed_tokens.weight");
  if (embedding != nullptr && embedding->shape[0] != config.vocab)
    throw_error(
        ErrorKind::kBadModel,
        "{}: tokenizer.ggml.tokens has {} entries, but token_embd.weight is {}: one row for each token is "
        "expected; convert the model again",
        file.file(), config.vocab, embedding->shape_text());
  const int64_t last = config.vocab - 1;
  // Ids of control tokens go by their text; -1: the vocabulary has none.
  const auto find = [&](std::string_view text) {
    const auto at = std::find(tokens->begin(), tokens->end(), text);
    return at == tokens->end() ? -1 : static_cast<int>(at - tokens->begin());
  };
  config.bos =
      static_cast<int>(file.integer_or("tokenizer.ggml.bos_token_id", std::max(0, find("<bos>")), 0, last));
  config.pad = static_cast<int>(
      file.integer_or("tokenizer.ggml.padding_token_id", std::max(0, find("<pad>")), 0, last));
  // Converters write one end token; the model has three (docs/spec/tokenizer.md §5).
  std::vector<int32_t>& ends = config.end_tokens;
  const auto add_end = [&](int64_t id) {
    if (id >= 0 && std::find(ends.begin(), ends.end(), id) == ends.end())
      ends.push_back(static_cast<int32_t>(id));
  };
  for (const char* text : {"<eos>", "<turn|>", "<|tool_response>"}) add_end(find(text));
  for (const char* k : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    add_end(file.integer_or(k, -1, 0, last));
  if (ends.empty()) file.refuse("tokenizer.ggml.eos_token_id", "the id of the token that ends a reply");
  if (const auto suppressed = file.integers("tokenizer.ggml.suppress_tokens", 0, last, 1024)) {
    config.suppressed_tokens.assign(suppressed->begin(), suppressed->end());
  } else {  // files older than the key
    for (const char* marker : {"<audio|>", "<image|>"})
      if (find(marker) >= 0) config.suppressed_tokens.push_back(find(marker));
  }
  const auto media = [&](const char* text, bool wanted) {
    const int id = wanted ? find(text) : -1;
    if (wanted && id < 0)
      throw_error(ErrorKind::kBadModel, "{}: tokenizer.ggml.tokens has no {}, which the mmproj's media need",
                  file.file(), text);
    return id;
  };
  const bool vision = config.mm_embed > 0, audio = config.audio_samples_per_token > 0;
  config.image_token = media("<|image|>", vision);
  config.video_token = media("<|video|>", vision);
  config.image_begin = media("<|image>", vision);
  config.image_end = media("<image|>", vision);
  config.audio_token = media("<|audio|>", audio);
  config.audio_begin = media("<|audio>", audio);
  config.audio_end = media("<audio|>", audio);
}

/// What both paths of an mmproj must have in common with the model.
void check_path(const GgufMetadata& mmproj, const std::string& path, const char* type,
                const ModelConfig& config) {
  const std::string type_key = path + "projector_type", dim_key = path + "projection_dim";
  const std::string belongs = fmt::format("; {} is not the mmproj of {}", mmproj.file(), config.path);
  if (mmproj.text_or(type_key, "") != type) mmproj.refuse(type_key, fmt::format("\"{}\"{}", type, belongs));
  if (mmproj.integer(dim_key, 1, INT32_MAX) != config.hidden)
    mmproj.refuse(dim_key, fmt::format("{}, the model's embedding_length{}", config.hidden, belongs));
}

void read_vision(const GgufMetadata& mmproj, const TensorStore& store, ModelConfig& config) {
  check_path(mmproj, "clip.vision.", "gemma4uv", config);
  constexpr int kPooled = 3;  // patches side by side that make one of the model's; no key says so
  if (mmproj.integer_or("clip.vision.patch_size", kPatchPixels / kPooled, 1, 65536) * kPooled != kPatchPixels)
    mmproj.refuse("clip.vision.patch_size", fmt::format("{}", kPatchPixels / kPooled));
  for (const auto& [k, wanted] : {std::pair{"clip.vision.image_mean", 0.0}, {"clip.vision.image_std", 1.0}})
    for (const double value : mmproj.numbers(k, 3).value_or(std::vector<double>{}))
      if (value != wanted) mmproj.refuse(k, fmt::format("three times {}", wanted));
  config.mm_embed = static_cast<int>(mmproj.integer("clip.vision.embedding_length", 1, kMaxHidden));
  const FileTensor* positions = store.find("model.vision_embedder.pos_embedding");
  config.positions =  // no key says how many; the binder tells of a missing or misshapen tensor
      positions != nullptr && positions->shape.size() == 3 && positions->shape[0] <= 65536
          ? static_cast<int>(positions->shape[0])
          : 1120;
  config.vision_rms_eps =
      static_cast<float>(mmproj.number_or("clip.vision.attention.layer_norm_epsilon", 1e-6, 1e-12, 1e-2));
}

void read_audio(const GgufMetadata& mmproj, ModelConfig& config) {
  check_path(mmproj, "clip.audio.", "gemma4ua", config);
  if (mmproj.integer_or("clip.audio.embedding_length", kAudioSamples, 1, INT32_MAX) != kAudioSamples)
    mmproj.refuse("clip.audio.embedding_length", fmt::format("{}", kAudioSamples));
  config.audio_samples_per_token = kAudioSamples;
  const double eps = mmproj.number_or("clip.audio.attention.layer_norm_epsilon", 1e-6, 1e-12, 1e-2);
  // Converters before llama.cpp #23815 wrote 1e-5 for a model that has 1e-6.
  config.audio_rms_eps = std::abs(eps - 1e-5) < 1e-9 ? 1e-6F : static_cast<float>(eps);
}

}  // namespace

ModelConfig ModelConfig::load_gguf(const TensorStore& store) {
  const GgufMetadata& file = *store.gguf();
  ModelConfig config;
  config.path = file.file();
  config.audio_samples_per_token = 0;
  if (is_drafter_architecture(file.text_or("general.architecture", ""))) {
    config.drafter = read_drafter(file);
    read_text(file, store, config);
    read_drafter_rest(file, store, config);
    return config;
  }
  read_text(file, store, config);
  if (const GgufMetadata* mmproj = store.mmproj()) {
    const bool vision = mmproj->boolean_or("clip.has_vision_encoder", false),
               audio = mmproj->boolean_or("clip.has_audio_encoder", false);
    if (!vision && !audio) mmproj->refuse("clip.has_vision_encoder", "true, or clip.has_audio_encoder");
    if (vision) read_vision(*mmproj, store, config);
    if (audio) read_audio(*mmproj, config);
  }
  read_ids(file, store, config);
  config.temperature = static_cast<float>(file.number_or("general.sampling.temp", 1.0, 0, 1000));
  config.top_p = static_cast<float>(file.number_or("general.sampling.top_p", 0.95, 0, 1));
  config.top_k = static_cast<int>(file.integer_or("general.sampling.top_k", 64, 0, INT32_MAX));
  return config;
}

}  // namespace tessera
