#pragma once
// Tensors about to be written: what a row of each becomes, and the loop that makes and writes them all.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "engine/source_model.h"
#include "format/tensor_file.h"

namespace tessera {

struct OutputTensor {
  std::string name;
  FileType type = FileType::kF32;
  std::vector<int64_t> shape;  // as stored, row-major
  int64_t rows = 1;            // what `make` is asked for
  int64_t cols = 1;            // values of a row, before any packing
  int64_t row_bytes = 0;
  /// Rows [first, first + count) → count * row_bytes bytes. Any thread.
  std::function<void(int64_t first, int64_t count, uint8_t* out)> make;
  /// What `make` reads of the source's files, in the order of the rows: given back once it is written.
  const SourceTensor* source = nullptr;
};

/// Float32 → F32, F16 (out of range: the largest), BF16 or a type of quantize_blocks. `out`: packed rows.
void encode_row(FileType type, const float* from, int64_t cols, uint8_t* out);
int64_t encoded_bytes(FileType type, int64_t cols);

/// The source's values in another type; the same type in published order is copied.
OutputTensor converted(std::string name, FileType type, const SourceTensor& source);
/// Rows of floats that `read` makes, with its own row and column counts.
OutputTensor computed(std::string name, FileType type, std::vector<int64_t> shape, int64_t rows,
                      std::function<void(int64_t first, int64_t count, float* out)> read);

/// The narrowest of BF16, F16 and F32 that holds every value of a plain tensor; the type itself unless it is
/// F32.
FileType narrowest_exact(const SourceTensor& source);

/// Makes all tensors in order, on all threads, and hands their bytes to `sink` in pieces, one ahead of it.
/// Memory: about 130 MB whatever the model, and what of the source's files the system keeps. on_progress: 0 …
/// 1, on the calling thread.
void stream_tensors(const std::vector<OutputTensor>& tensors, ThreadPool& pool,
                    const std::function<void(std::span<const uint8_t>)>& sink,
                    const std::function<void(double)>& on_progress);

}  // namespace tessera
