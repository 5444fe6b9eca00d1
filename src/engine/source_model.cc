#include "engine/source_model.h"

#include "base/error.h"
#include "engine/model_source.h"
#include "format/affine.h"
#include "format/blocks.h"
#include "format/json.h"

namespace tessera {
namespace {

SourceTensor find_tensor(const TensorStore& store, const ModelConfig& config,
                         const ExpectedTensor& expected) {
  SourceTensor source;
  source.expected = expected;
  source.tensor = store.find(expected.name);
  if (source.tensor == nullptr)
    throw_error(ErrorKind::kBadModel, "{}: tensor {} is missing; is the download complete?", config.path,
                expected.name);
  const FileTensor& t = *source.tensor;
  if (t.type == FileType::kU32) {
    const std::string module = expected.name.substr(0, expected.name.rfind('.') + 1);
    source.scales = store.find(module + "scales");
    source.biases = store.find(module + "biases");
    if (source.scales == nullptr || source.biases == nullptr || expected.shape.size() != 2)
      throw_error(ErrorKind::kBadModel,
                  "{}: {} is packed (U32), which only matrices with scales and biases can be (affine "
                  "quantisation)",
                  t.file, printable(t.name));
    const AffineShape shape = affine_shape(t, *source.scales, expected.shape[1]);
    source.bits = shape.bits;
    source.group = shape.group;
    check_affine(t, *source.scales, *source.biases, source.bits, source.group, expected.shape[0],
                 expected.shape[1]);
    return source;
  }
  if (t.shape != expected.shape) {
    FileTensor wanted;
    wanted.shape = expected.shape;
    throw_error(ErrorKind::kBadModel, "{}: {} is {}, the config asks for {}; run: tessera inspect {}", t.file,
                printable(t.name), t.shape_text(), wanted.shape_text(), config.path);
  }
  const bool plain = t.type == FileType::kF32 || t.type == FileType::kF16 || t.type == FileType::kBF16;
  if (!plain && !is_block_type(t.type))
    throw_error(ErrorKind::kBadModel, "{}: {} has type {}, which holds no weights this version reads", t.file,
                printable(t.name), to_string(t.type));
  return source;
}

}  // namespace

int64_t SourceTensor::cols() const {
  int64_t n = 1;
  for (size_t i = expected.shape.size() < 2 ? 0 : 1; i < expected.shape.size(); ++i) n *= expected.shape[i];
  return n;
}

bool SourceTensor::is_as_published() const {
  return !is_affine() && tensor->order == StoredOrder::kAsPublished;
}

void SourceTensor::read(int64_t first_row, int64_t row_count, float* out) const {
  if (is_affine())
    dequantize_affine(*tensor, *scales, *biases, bits, group, rows(), cols(), first_row, row_count, out);
  else
    read_rows_f32(*tensor, first_row, row_count, out);
}

std::optional<QuantLayout> SourceTensor::layout() const {
  if (is_affine()) return affine_layout(bits, group, scales->type, biases->type);
  if (is_block_type(tensor->type) && is_as_published()) return block_layout(tensor->type);
  return std::nullopt;
}

void SourceTensor::read_quant(int64_t row, const QuantRow& out) const {
  if (is_affine())
    read_affine_row(*tensor, *scales, *biases, bits, group, cols(), row, out);
  else
    read_block_row(tensor->type, tensor->bytes.data() + row * row_bytes(tensor->type, cols()), cols(), out);
}

SourceModel::SourceModel(const std::string& path, const std::string& mmproj) : path_(path) {
  ModelSource opened = open_any(path, mmproj);
  store_ = std::move(opened.store);
  config_ = std::move(opened.config);
  note_ = std::move(opened.note);
  for (const ExpectedTensor& expected : expected_tensors(config_))
    tensors_.push_back(find_tensor(store_, config_, expected));
}

}  // namespace tessera
