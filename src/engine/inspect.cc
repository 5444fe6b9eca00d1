// What `tessera inspect` prints: geometry, parameters by block, number formats, memory.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "engine/drafter_source.h"
#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/model_info.h"
#include "engine/model_source.h"
#include "format/affine.h"
#include "format/blocks.h"
#include "format/json.h"
#include "model/names.h"

namespace tessera {
namespace {

constexpr const char* kWeight = ".weight";

/// One expected tensor as a file holds it.
struct Found {
  std::string dtype;       // as ModelInfo::dtypes names it
  int64_t parameters = 0;  // logical: a packed module counts what it unpacks to
  int64_t file_bytes = 0;  // with scales and offsets
  int64_t held_bytes = 0;  // by the CPU backend: BF16 and quantised as they are, everything else as float32
  bool quantised = false;
};

int64_t elements_of(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

Found measure_affine(const TensorStore& store, const ExpectedTensor& expected, const FileTensor& weight,
                     const std::string& module, const FileTensor& scales) {
  const FileTensor* biases = store.find(module + ".biases");
  if (biases == nullptr)
    throw_error(ErrorKind::kBadModel,
                "{}: {} has scales but no biases; only affine quantisation is supported", weight.file,
                printable(weight.name));
  if (expected.shape.size() != 2)
    throw_error(ErrorKind::kBadModel, "{}: {} is quantised, but only matrices can be", weight.file,
                printable(weight.name));
  const AffineShape affine = affine_shape(weight, scales, expected.shape[1]);
  check_affine(weight, scales, *biases, affine.bits, affine.group, expected.shape[0], expected.shape[1]);
  const int64_t parameters = elements_of(expected.shape);
  return {fmt::format("affine {}-bit/{}", affine.bits, affine.group), parameters,
          static_cast<int64_t>(weight.bytes.size() + scales.bytes.size() + biases->bytes.size()),
          cpu_quant_bytes(affine_layout(affine.bits, affine.group, scales.type, biases->type),
                          expected.shape[0], expected.shape[1]),
          true};
}

Found measure(const TensorStore& store, const ExpectedTensor& expected, const FileTensor& tensor) {
  if (expected.name.ends_with(kWeight)) {
    const std::string module =
        expected.name.substr(0, expected.name.size() - std::string_view(kWeight).size());
    if (const FileTensor* scales = store.find(module + ".scales"))
      return measure_affine(store, expected, tensor, module, *scales);
  }
  if (tensor.shape != expected.shape) {
    FileTensor wanted;
    wanted.shape = expected.shape;
    throw_error(ErrorKind::kBadModel,
                "{}: {} is {}, the config asks for {}; weights and config belong to different models",
                tensor.file, printable(tensor.name), tensor.shape_text(), wanted.shape_text());
  }
  const int64_t parameters = tensor.elements();
  if (is_block_type(tensor.type) && tensor.shape.size() == 2)
    return {to_string(tensor.type), parameters, static_cast<int64_t>(tensor.bytes.size()),
            cpu_quant_bytes(block_layout(tensor.type), tensor.shape[0], tensor.shape[1]), true};
  return {to_string(tensor.type), parameters, static_cast<int64_t>(tensor.bytes.size()),
          parameters * (tensor.type == FileType::kBF16 ? 2 : 4)};
}

/// Adds one tensor to the counts of its block.
void count(const ExpectedTensor& expected, int64_t parameters, ModelInfo& info) {
  switch (expected.block) {
    case TensorBlock::kEmbedding:
      info.embedding_parameters += parameters;
      break;
    case TensorBlock::kLayer:
      info.layers[static_cast<size_t>(expected.layer)].parameters += parameters;
      break;
    case TensorBlock::kFinalNorm:
    case TensorBlock::kDrafter:
      break;
    case TensorBlock::kVision:
      info.vision_parameters += parameters;
      break;
    case TensorBlock::kVisionProjection:
      info.vision_projection_parameters += parameters;
      break;
    case TensorBlock::kAudioProjection:
      info.audio_parameters += parameters;
      break;
  }
  const bool media = expected.block == TensorBlock::kVision ||
                     expected.block == TensorBlock::kVisionProjection ||
                     expected.block == TensorBlock::kAudioProjection;
  if (!media) info.text_parameters += parameters;
  info.total_parameters += parameters;
}

}  // namespace

int64_t ModelInfo::kv_bytes(int64_t context_tokens, int chunk_tokens, const std::string& kv) const {
  const KvType type = kv_type(kv.empty() ? default_kv : kv);
  const int64_t step = std::max<int64_t>(chunk_tokens, kMaxVisionBlock);
  int64_t bytes = 0;
  if (drafts_for_hidden > 0) return 0;  // it reads the model's
  for (const LayerInfo& layer : layers) {
    const int64_t rows = layer.sliding ? std::min(context_tokens, window - 1 + step) : context_tokens;
    bytes += 2 * rows * layer.kv_heads * kv_block_bytes(type, layer.head_dim) / kKvBlock;  // K and V
  }
  return bytes;
}

ModelInfo model_info(const ModelConfig& config_as_stated, const TensorStore& store,
                     const Tokenizer* tokenizer) {
  const ModelConfig config = as_stored(config_as_stated, store);
  ModelInfo info;
  info.path = config.path;
  const int files = store.files() - (store.mmproj() != nullptr ? 1 : 0);
  info.format = fmt::format("{}, {} file{}{}", store.gguf() != nullptr ? "GGUF" : "safetensors", files,
                            files == 1 ? "" : "s", store.mmproj() != nullptr ? " and an mmproj" : "");
  info.hidden = config.hidden;
  info.intermediate = config.intermediate;
  info.vocab = config.vocab;
  info.max_context = config.max_context;
  info.window = config.window;
  info.mm_embed = config.mm_embed;
  info.audio_samples_per_token = config.audio_samples_per_token;
  info.logit_softcap = config.logit_softcap;
  if (config.drafter) info.drafts_for_hidden = config.drafter->target_hidden;
  for (const LayerConfig& layer : config.layers)
    info.layers.push_back(
        {layer.sliding, config.q_heads, layer.kv_heads, layer.head_dim, layer.v_is_k, 0, 0});

  std::map<std::string, TensorCount> dtypes;
  for (const ExpectedTensor& expected : expected_tensors(config)) {
    const FileTensor* tensor = store.find(expected.name);
    if (tensor == nullptr)
      throw_error(ErrorKind::kBadModel, "{}: tensor {} is missing; is the download complete?", config.path,
                  expected.name);
    const Found found = measure(store, expected, *tensor);
    count(expected, found.parameters, info);
    TensorCount& of_type = dtypes[found.dtype];
    of_type.dtype = found.dtype;
    of_type.tensors += 1;
    of_type.parameters += found.parameters;
    of_type.bytes += found.file_bytes;
    if (expected.block == TensorBlock::kLayer)
      info.layers[static_cast<size_t>(expected.layer)].bytes += found.file_bytes;
    info.weight_bytes += found.held_bytes;
    if (found.quantised && expected.block == TensorBlock::kLayer) info.default_kv = "bf16";
  }
  for (const auto& [name, of_type] : dtypes) info.dtypes.push_back(of_type);
  std::stable_sort(info.dtypes.begin(), info.dtypes.end(),
                   [](const TensorCount& a, const TensorCount& b) { return a.bytes > b.bytes; });
  info.file_bytes = store.file_bytes();

  if (tokenizer != nullptr) {
    info.vocab_entries = tokenizer->vocab_size();
    info.merges = tokenizer->merges();
    info.control_tokens = static_cast<int>(tokenizer->control_tokens().size());
  }
  info.end_tokens = config.end_tokens;
  info.suppressed_tokens = config.suppressed_tokens;
  info.default_image_budget = config.image_budget;
  info.default_sampling.temperature = config.temperature;
  info.default_sampling.top_k = config.top_k;
  info.default_sampling.top_p = config.top_p;
  info.default_video_budget = config.video_budget;
  return info;
}

ModelInfo inspect_model(const std::string& path, const std::string& mmproj_path) {
  const ModelSource source = open_any(path, mmproj_path);
  ModelInfo info = model_info(source.config, source.store, source.tokenizer ? &*source.tokenizer : nullptr);
  info.mmproj = source.mmproj;
  info.note = source.note;
  if (!source.config.drafter) find_drafter(source.config, {}, info);
  return info;
}

MediaBudgets media_budgets(const std::string& path) {
  const ModelConfig config = read_config(path);
  return {config.image_budget, config.video_budget};
}

}  // namespace tessera
