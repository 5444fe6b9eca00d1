#include "engine/gguf_plan.h"

#include <algorithm>
#include <deque>

#include "base/error.h"
#include "engine/source_files.h"
#include "format/gguf.h"
#include "text/tokenizer_export.h"
#include "text/tokenizer_file.h"

namespace tessera {
namespace {

constexpr uint32_t kQuantizationVersion = 2;

uint32_t u32(int64_t value) {
  return static_cast<uint32_t>(value);
}

/// Head width of one kind of layer: GGUF has one key for each.
int head_dim(const SourceModel& source, bool sliding) {
  int dim = 0;
  for (const LayerConfig& layer : source.config().layers) {
    if (layer.sliding != sliding) continue;
    if (dim != 0 && layer.head_dim != dim)
      throw_error(ErrorKind::kBadRequest,
                  "{}: {} layers have heads of {} and of {} values; GGUF has one key for all of a kind",
                  source.path(), sliding ? "sliding" : "full", dim, layer.head_dim);
    dim = layer.head_dim;
  }
  return dim;
}

const char* architecture(const ModelConfig& config) {
  return config.drafter ? "gemma4-assistant" : "gemma4";
}

void add_geometry(const SourceModel& source, GgufHeader& out) {
  const ModelConfig& c = source.config();
  const std::string prefix = std::string(architecture(c)) + ".";
  const auto key = [&prefix](const char* name) { return prefix + name; };
  out.number(key("block_count"), u32(static_cast<int64_t>(c.layers.size())));
  out.number(key("context_length"), u32(c.max_context));
  out.number(key("embedding_length"), u32(c.hidden));
  out.number(key("feed_forward_length"), u32(c.intermediate));
  out.number(key("attention.head_count"), u32(c.q_heads));
  std::vector<int32_t> kv_heads;
  std::vector<bool> sliding;
  for (const LayerConfig& layer : c.layers) {
    kv_heads.push_back(layer.kv_heads);
    sliding.push_back(layer.sliding);
  }
  out.numbers<int32_t>(key("attention.head_count_kv"), kv_heads);
  // A model without one kind of layer has no width for it; readers want the key all the same.
  const int full = head_dim(source, false), window = head_dim(source, true);
  const uint32_t full_dim = u32(full != 0 ? full : window), window_dim = u32(window != 0 ? window : full);
  for (const char* name : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    out.number(key(name), full_dim);
    out.number(key(name) + "_swa", window_dim);
  }
  out.number(key("attention.sliding_window"), u32(c.window));
  out.booleans(key("attention.sliding_window_pattern"), sliding);
  out.number(key("attention.shared_kv_layers"), c.drafter ? u32(static_cast<int64_t>(c.layers.size())) : 0U);
  out.number(key("attention.layer_norm_rms_epsilon"), c.rms_eps);
  out.number(key("embedding_length_per_layer_input"), 0U);
  out.number(key("rope.freq_base"), static_cast<float>(c.rope_full.theta));
  out.number(key("rope.freq_base_swa"), static_cast<float>(c.rope_sliding.theta));
  if (!c.drafter) return out.number(key("final_logit_softcapping"), c.logit_softcap);
  out.number(key("embedding_length_out"), u32(c.drafter->target_hidden));
  out.number(key("nextn_predict_layers"), u32(static_cast<int64_t>(c.layers.size())));
}

void add_sampling(const ModelConfig& c, GgufHeader& out) {
  out.number("general.sampling.temp", c.temperature);
  out.number("general.sampling.top_k", static_cast<int32_t>(c.top_k));
  out.number("general.sampling.top_p", c.top_p);
}

void add_tokenizer(const SourceModel& source, GgufHeader& out) {
  const ModelConfig& c = source.config();
  const TokenizerFile file = read_tokenizer_of(source);
  TokenLists lists = tokenizer_lists(file, source.path() + "/tokenizer.json");
  if (lists.tokens.size() > static_cast<size_t>(c.vocab))
    throw_error(ErrorKind::kBadModel, "{}: the tokenizer has {} tokens, the embedding {} rows", source.path(),
                lists.tokens.size(), c.vocab);
  // Rows without a token, which GGUF must name: the embedding was rounded up for speed.
  std::deque<std::string> names;
  while (lists.tokens.size() < static_cast<size_t>(c.vocab)) {
    names.push_back(fmt::format("[PAD{}]", lists.tokens.size()));
    lists.tokens.emplace_back(names.back());
    lists.types.push_back(kUnusedToken);
  }
  out.text("tokenizer.ggml.model", "gemma4");
  out.texts("tokenizer.ggml.tokens", lists.tokens);
  const std::vector<float> scores(lists.tokens.size(), -1000.0F);  // unused; what converters write
  out.numbers<float>("tokenizer.ggml.scores", scores);
  out.numbers<int32_t>("tokenizer.ggml.token_type", lists.types);
  const std::vector<std::string_view> merges(lists.merges.begin(), lists.merges.end());
  out.texts("tokenizer.ggml.merges", merges);
  out.number("tokenizer.ggml.bos_token_id", u32(c.bos));
  out.number("tokenizer.ggml.eos_token_id", u32(c.end_tokens.empty() ? 1 : c.end_tokens.front()));
  out.number("tokenizer.ggml.padding_token_id", u32(c.pad));
  for (const auto& [token, key] : {std::pair{"<unk>", "tokenizer.ggml.unknown_token_id"},
                                   std::pair{"<mask>", "tokenizer.ggml.mask_token_id"}}) {
    const auto at = std::find(lists.tokens.begin(), lists.tokens.end(), token);
    if (at != lists.tokens.end()) out.number(key, u32(at - lists.tokens.begin()));
  }
  out.boolean("tokenizer.ggml.add_bos_token", true);
  out.boolean("tokenizer.ggml.add_space_prefix", false);
  out.numbers<int32_t>("tokenizer.ggml.suppress_tokens", c.suppressed_tokens);
  const std::string chat = chat_template_of(source);
  if (!chat.empty()) out.text("tokenizer.chat_template", chat);
}

void copy_metadata(const GgufMetadata& from, GgufHeader& out) {
  for (const auto& [key, value] : from.values())
    if (!out.has(key) && !key.starts_with("split.") &&
        key != "general.alignment")  // of that file, not of this
      out.copy(key, static_cast<uint32_t>(value.type), value.is_array, value.count, value.bytes);
}

OutputTensor rope_divisors(const SourceModel& source) {
  const int dim = head_dim(source, false);
  const int64_t pairs = dim / 2;
  // As the binder counts: the share of the pairs that turns, cut.
  const auto turning = static_cast<int64_t>(source.config().rope_full.rotary_fraction * dim / 2);
  return computed("rope_freqs.weight", FileType::kF32, {pairs}, 1,
                  [pairs, turning](int64_t, int64_t, float* out) {
                    for (int64_t i = 0; i < pairs; ++i) out[i] = i < turning ? 1.0F : 1e30F;
                  });
}

OutputTensor positions(std::string name, const SourceTensor& source) {
  const int64_t count = source.rows(), cols = source.cols() / 2;
  return computed(std::move(name), FileType::kF32, {2, count, cols}, 2 * count,
                  [&source, count, cols](int64_t first, int64_t rows, float* out) {
                    std::vector<float> both(static_cast<size_t>(2 * cols));
                    for (int64_t r = first; r < first + rows; ++r, out += cols) {
                      source.read(r % count, 1, both.data());
                      std::copy_n(both.data() + r / count * cols, cols, out);
                    }
                  });
}

/// The three channels of each pixel → three planes of pixels.
OutputTensor planes(std::string name, const SourceTensor& source) {
  const int64_t cols = source.cols(), pixels = cols / 3;
  return computed(std::move(name), FileType::kF32, source.expected.shape, source.rows(),
                  [&source, cols, pixels](int64_t first, int64_t rows, float* out) {
                    std::vector<float> row(static_cast<size_t>(cols));
                    for (int64_t r = first; r < first + rows; ++r, out += cols) {
                      source.read(r, 1, row.data());
                      for (int64_t i = 0; i < cols; ++i)
                        out[i] = row[static_cast<size_t>(i % pixels * 3 + i / pixels)];
                    }
                  });
}

bool is_media(const SourceTensor& source) {
  const TensorBlock block = source.expected.block;
  return block == TensorBlock::kVision || block == TensorBlock::kVisionProjection ||
         block == TensorBlock::kAudioProjection;
}

}  // namespace

std::vector<GgufWriter::Entry> GgufPlan::entries() const {
  std::vector<GgufWriter::Entry> out;
  for (const OutputTensor& tensor : tensors) out.push_back({tensor.name, tensor.type, tensor.shape});
  return out;
}

GgufPlan plan_text(const SourceModel& source, uint32_t file_type, const ChooseMatrix& choose) {
  GgufPlan plan;
  if (source.config().drafter && source.config().drafter->ordered)
    throw_error(ErrorKind::kBadRequest,
                "{}: no GGUF names the tensors of a centroid head (use_ordered_embeddings)", source.path());
  plan.header.text("general.architecture", architecture(source.config()));
  plan.header.text("general.type", "model");
  plan.header.number("general.file_type", file_type);
  plan.header.number("general.quantization_version", kQuantizationVersion);
  if (source.is_gguf()) {
    copy_metadata(*source.store().gguf(), plan.header);
  } else {
    plan.header.text("general.name", model_name_of(source));
    add_sampling(source.config(), plan.header);
    add_geometry(source, plan.header);
    if (has_tokenizer(source)) add_tokenizer(source, plan.header);
  }
  for (const SourceTensor& tensor : source.tensors()) {
    if (is_media(tensor)) continue;
    std::string name = gguf_name_of(tensor.expected.name);
    plan.tensors.push_back(tensor.is_matrix() ? choose(std::move(name), tensor)
                                              : converted(std::move(name), FileType::kF32, tensor));
    if (tensor.expected.block == TensorBlock::kEmbedding && head_dim(source, false) != 0)
      plan.tensors.push_back(rope_divisors(source));
  }
  return plan;
}

GgufPlan plan_media(const SourceModel& source, FileType matrices) {
  const ModelConfig& c = source.config();
  const bool vision = c.mm_embed > 0, audio = c.audio_samples_per_token > 0;
  if (!vision && !audio)
    throw_error(ErrorKind::kBadRequest,
                "{}: the model has no vision or audio tensors, so no mmproj can be written{}", source.path(),
                source.is_gguf() ? "; name the one that belongs to it" : "");
  GgufPlan plan;
  GgufHeader& h = plan.header;
  h.text("general.architecture", "clip");
  h.text("general.type", "mmproj");
  h.number("general.file_type", matrices == FileType::kF32 ? 0U : matrices == FileType::kF16 ? 1U : 32U);
  h.text("general.name", model_name_of(source));
  h.boolean("clip.has_vision_encoder", vision);
  h.boolean("clip.has_audio_encoder", audio);
  const auto path = [&](const std::string& prefix, const char* projector, int width, float eps) {
    h.text(prefix + "projector_type", projector);
    h.number(prefix + "embedding_length", u32(width));
    h.number(prefix + "projection_dim", u32(c.hidden));
    h.number(prefix + "attention.layer_norm_epsilon", eps);
    // Of the towers of sibling models; readers insist on them.
    for (const char* none : {"block_count", "feed_forward_length", "attention.head_count"})
      h.number(prefix + none, 0U);
  };
  if (vision) {
    path("clip.vision.", "gemma4uv", c.mm_embed, c.vision_rms_eps);
    h.number("clip.vision.patch_size", u32(c.patch / 3));
    h.number("clip.vision.image_size", 224U);
    const std::vector<float> mean(3, 0.0F), deviation(3, 1.0F);
    h.numbers<float>("clip.vision.image_mean", mean);
    h.numbers<float>("clip.vision.image_std", deviation);
  }
  if (audio) {
    path("clip.audio.", "gemma4ua", c.audio_samples_per_token, c.audio_rms_eps);
    h.number("clip.audio.num_mel_bins", 128U);
  }
  for (const SourceTensor& tensor : source.tensors()) {
    if (!is_media(tensor)) continue;
    const std::string name = gguf_name_of(tensor.expected.name);
    if (name == "v.position_embd.weight")
      plan.tensors.push_back(positions(name, tensor));
    else if (name == "v.patch_embd.weight" || name.starts_with("v.patch_norm.1."))
      plan.tensors.push_back(planes(name, tensor));
    else
      plan.tensors.push_back(converted(name, tensor.is_matrix() ? matrices : FileType::kF32, tensor));
  }
  return plan;
}

}  // namespace tessera
