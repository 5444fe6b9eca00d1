// An MLX directory: a config and affine modules from any bytes. Error, or a model that can be bound, whose
// modules read alike as float32 and in the neutral form.
// Input: u32 length of config.json, config.json, model.safetensors.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/dtype.h"
#include "engine/model_info.h"
#include "format/affine.h"
#include "format/safetensors_writer.h"
#include "model/model.h"
#include "model/names.h"
#include "support/temp_dir.h"
#include "tessera/tessera.h"

namespace {

using namespace tessera;

const TempDir& folder() {
  static const TempDir dir;
  return dir;
}

/// Two layers, every matrix quantised with 4 bits in groups of 32.
std::string seed() {
  const std::string config = R"({"model_type": "gemma4_unified_text", "hidden_size": 32, "vocab_size": 64,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "global_head_dim": 32,
    "num_global_key_value_heads": 1, "intermediate_size": 64, "sliding_window": 16, "max_position_embeddings": 256,
    "layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2,
    "quantization": {"group_size": 32, "bits": 4, "mode": "affine"}})";
  folder().write("config.json", config);
  std::vector<SafetensorsWriter::Entry> entries;
  int64_t bytes = 0;
  const auto add = [&](const std::string& name, FileType type, std::vector<int64_t> shape) {
    int64_t n = type_bytes(type);
    for (const int64_t size : shape) n *= size;
    bytes += n;
    entries.push_back({name, type, std::move(shape)});
  };
  for (const ExpectedTensor& t : expected_tensors(ModelConfig::load(folder().path()))) {
    if (t.shape.size() != 2) {
      add(t.name, FileType::kBF16, t.shape);
      continue;
    }
    const std::string module = t.name.substr(0, t.name.size() - std::string("weight").size());
    add(t.name, FileType::kU32, {t.shape[0], t.shape[1] / 8});
    add(module + "scales", FileType::kBF16, {t.shape[0], t.shape[1] / 32});
    add(module + "biases", FileType::kBF16, {t.shape[0], t.shape[1] / 32});
  }
  SafetensorsWriter writer(folder().file("model.safetensors"), entries);
  writer.write(std::vector<uint8_t>(static_cast<size_t>(bytes), 0x3d));
  writer.finish();
  const auto length = static_cast<uint32_t>(config.size());
  return std::string(reinterpret_cast<const char*>(&length), 4) + config +
         read_bytes(folder().file("model.safetensors"));
}

float scale_at(QuantLayout::Scale scale, const std::vector<uint32_t>& from, size_t g) {
  uint16_t half = 0;
  std::memcpy(&half, reinterpret_cast<const char*>(from.data()) + 2 * g, 2);
  return scale == QuantLayout::Scale::kF32   ? std::bit_cast<float>(from[g])
         : scale == QuantLayout::Scale::kF16 ? f16_to_f32(half)
                                             : bf16_to_f32(half);
}

void check_module(const TensorStore& store, const ExpectedTensor& expected) {
  if (expected.shape.size() != 2) return;
  const std::string module = expected.name.substr(0, expected.name.size() - std::string("weight").size());
  const FileTensor *weight = store.find(expected.name), *scales = store.find(module + "scales"),
                   *biases = store.find(module + "biases");
  if (weight == nullptr || weight->type != FileType::kU32 || scales == nullptr || biases == nullptr) return;
  const int64_t rows = expected.shape[0], cols = expected.shape[1];
  const auto [bits, group] = affine_shape(*weight, *scales, cols);
  check_affine(*weight, *scales, *biases, bits, group, rows, cols);
  const QuantLayout layout = affine_layout(bits, group, scales->type, biases->type);
  const auto groups = static_cast<size_t>(cols / group);
  std::vector<float> values(static_cast<size_t>(cols));
  std::vector<uint8_t> codes(values.size());
  std::vector<uint32_t> s(groups), m(groups);
  for (const int64_t row : {int64_t{0}, rows - 1}) {
    dequantize_affine(*weight, *scales, *biases, bits, group, rows, cols, row, 1, values.data());
    read_affine_row(*weight, *scales, *biases, bits, group, cols, row, {codes.data(), s.data(), m.data()});
    for (size_t k = 0; k < values.size(); ++k) {
      const size_t g = k / static_cast<size_t>(group);
      const float value =
          scale_at(layout.scale, s, g) * static_cast<float>(codes[k]) + scale_at(layout.scale, m, g);
      if (codes[k] >> layout.bits != 0 || (value == value && value != values[k])) std::abort();
    }
  }
}

}  // namespace

/// Called before the seeds are read: the last argument is their folder (scripts/fuzz.sh).
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  const std::filesystem::path seeds = (*argv)[*argc - 1];
  if (std::filesystem::is_directory(seeds)) std::ofstream(seeds / "mlx", std::ios::binary) << seed();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t length = 0;
  if (size < 4) return 0;
  std::memcpy(&length, data, 4);
  if (length > size - 4) return 0;
  const auto* text = reinterpret_cast<const char*>(data);
  folder().write("config.json", {text + 4, length});
  folder().write("model.safetensors", {text + 4 + length, size - 4 - length});
  try {
    const ModelConfig stated = ModelConfig::load(folder().path());
    const TensorStore store = TensorStore::open_directory(folder().path());
    const ModelConfig config = as_stored(stated, store);
    model_info(config, store, nullptr);
    for (const ExpectedTensor& expected : expected_tensors(config)) check_module(store, expected);
    const auto backend = make_ref_backend();
    bind_model(config, store, *backend, {});
  } catch (const Error&) {
  }
  return 0;
}
