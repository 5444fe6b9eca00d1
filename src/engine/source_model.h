#pragma once
// A model opened to be written in another form: its config and every tensor as rows, whatever the file's
// format.
#include <optional>
#include <string>
#include <vector>

#include "base/quant.h"
#include "format/tensor_file.h"
#include "model/config.h"
#include "model/names.h"

namespace tessera {

struct SourceTensor {
  ExpectedTensor expected;                                // canonical name, logical shape
  const FileTensor* tensor = nullptr;                     // plain, blocks or affine codes
  const FileTensor *scales = nullptr, *biases = nullptr;  // affine only
  int bits = 0, group = 0;                                // affine only

  int64_t rows() const { return expected.shape.size() < 2 ? 1 : expected.shape[0]; }
  int64_t cols() const;  // values of a row
  int64_t elements() const { return rows() * cols(); }
  bool is_matrix() const { return expected.shape.size() == 2; }
  bool is_affine() const { return scales != nullptr; }
  /// The file's rows are the published ones, value by value: F32, F16 or BF16, or blocks.
  bool is_as_published() const;

  /// Float32 rows in the published order. Any thread.
  void read(int64_t first_row, int64_t row_count, float* out) const;
  /// The neutral form; nothing for plain tensors and for blocks in another order than published.
  std::optional<QuantLayout> layout() const;
  void read_quant(int64_t row, const QuantRow& out) const;
};

class SourceModel {
 public:
  /// `path`: a Hugging Face or MLX directory, or a GGUF file, with `mmproj` or "". Checks every tensor
  /// against the config. Throws Error(kIo | kBadModel).
  SourceModel(const std::string& path, const std::string& mmproj);

  const std::string& path() const { return path_; }
  bool is_gguf() const { return store_.gguf() != nullptr; }
  const ModelConfig& config() const { return config_; }  // as the tensors have it (as_stored)
  const TensorStore& store() const { return store_; }
  const std::vector<SourceTensor>& tensors() const { return tensors_; }  // order of expected_tensors
  const std::string& note() const { return note_; }  // about an mmproj that was not used; "" for none

 private:
  std::string path_, note_;
  TensorStore store_;
  ModelConfig config_;
  std::vector<SourceTensor> tensors_;
};

}  // namespace tessera
