#include "engine/output_tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/dtype.h"
#include "base/file_map.h"
#include "format/blocks.h"

namespace tessera {
namespace {

constexpr int64_t kPieceValues = int64_t{1} << 24;  // made, then written: at most 64 MiB
constexpr int64_t kItemValues = int64_t{1} << 17;   // of one thread at a time

/// Consecutive rows of one tensor.
struct Piece {
  const OutputTensor* tensor = nullptr;
  int64_t first = 0, count = 0;
};

std::vector<Piece> cut(const std::vector<OutputTensor>& tensors) {
  std::vector<Piece> pieces;
  for (const OutputTensor& t : tensors) {
    const int64_t rows = std::max<int64_t>(1, kPieceValues / std::max<int64_t>(1, t.cols));
    for (int64_t first = 0; first < t.rows; first += rows)
      pieces.push_back({&t, first, std::min(rows, t.rows - first)});
  }
  return pieces;
}

/// Every value survives `there and back`.
template <typename Through>
bool all_survive(const SourceTensor& source, Through&& through) {
  std::vector<float> row(static_cast<size_t>(source.cols()));
  for (int64_t r = 0; r < source.rows(); ++r) {
    source.read(r, 1, row.data());
    for (const float v : row)
      if (std::bit_cast<uint32_t>(through(v)) != std::bit_cast<uint32_t>(v)) return false;
  }
  return true;
}

/// Without this the whole model would count as this program's memory by the end.
void release_source(const Piece& piece) {
  if (piece.tensor->source == nullptr) return;
  const SourceTensor& source = *piece.tensor->source;
  for (const FileTensor* part : {source.tensor, source.scales, source.biases}) {
    if (part == nullptr) continue;
    const auto bytes = static_cast<int64_t>(part->bytes.size()) / piece.tensor->rows;
    release_mapped(part->bytes.subspan(static_cast<size_t>(piece.first * bytes),
                                       static_cast<size_t>(piece.count * bytes)));
  }
}

}  // namespace

int64_t encoded_bytes(FileType type, int64_t cols) {
  return is_block_type(type) ? row_bytes(type, cols) : cols * type_bytes(type);
}

void encode_row(FileType type, const float* from, int64_t cols, uint8_t* out) {
  if (type == FileType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(cols) * 4);
  } else if (type == FileType::kF16 || type == FileType::kBF16) {
    for (int64_t i = 0; i < cols; ++i) {
      const uint16_t bits = type == FileType::kBF16 ? f32_to_bf16(from[i])
                                                    : f32_to_f16(std::clamp(from[i], -65504.0F, 65504.0F));
      std::memcpy(out + 2 * i, &bits, 2);
    }
  } else {
    quantize_blocks(type, from, cols, out);
  }
}

OutputTensor computed(std::string name, FileType type, std::vector<int64_t> shape, int64_t rows,
                      std::function<void(int64_t first, int64_t count, float* out)> read) {
  int64_t values = 1;
  for (const int64_t size : shape) values *= size;
  const int64_t cols = values / std::max<int64_t>(1, rows), bytes = encoded_bytes(type, cols);
  return {std::move(name),
          type,
          std::move(shape),
          rows,
          cols,
          bytes,
          [type, cols, bytes, read = std::move(read)](int64_t first, int64_t count, uint8_t* out) {
            std::vector<float> values_of(static_cast<size_t>(count * cols));
            read(first, count, values_of.data());
            // Rows lie without gaps, and blocks do not cross them: all at once.
            encode_row(type, values_of.data(), count * cols, out);
          }};
}

OutputTensor converted(std::string name, FileType type, const SourceTensor& source) {
  OutputTensor out =
      computed(std::move(name), type, source.expected.shape, source.rows(),
               [&source](int64_t first, int64_t count, float* to) { source.read(first, count, to); });
  out.source = &source;
  if (source.is_as_published() && source.tensor->type == type)
    out.make = [&source, bytes = out.row_bytes](int64_t first, int64_t count, uint8_t* to) {
      std::memcpy(to, source.tensor->bytes.data() + first * bytes, static_cast<size_t>(count * bytes));
    };
  return out;
}

FileType narrowest_exact(const SourceTensor& source) {
  if (source.tensor->type != FileType::kF32) return source.tensor->type;
  if (all_survive(source, [](float v) { return bf16_to_f32(f32_to_bf16(v)); })) return FileType::kBF16;
  if (all_survive(source, [](float v) { return f16_to_f32(f32_to_f16(v)); })) return FileType::kF16;
  return FileType::kF32;
}

void stream_tensors(const std::vector<OutputTensor>& tensors, ThreadPool& pool,
                    const std::function<void(std::span<const uint8_t>)>& sink,
                    const std::function<void(double)>& on_progress) {
  const std::vector<Piece> pieces = cut(tensors);
  double all = 0, done = 0;
  for (const OutputTensor& t : tensors) all += static_cast<double>(t.rows * t.cols);
  std::vector<uint8_t> buffers[2];
  std::span<const uint8_t> ready;  // the piece before, while the next is made
  for (size_t i = 0; i <= pieces.size(); ++i) {
    std::vector<uint8_t>& buffer = buffers[i % 2];
    const Piece piece = i < pieces.size() ? pieces[i] : Piece{};
    int64_t items = 0, rows = 1;
    if (piece.tensor != nullptr) {
      rows = std::max<int64_t>(1, kItemValues / std::max<int64_t>(1, piece.tensor->cols));
      items = (piece.count + rows - 1) / rows;
      const auto bytes = static_cast<size_t>(piece.count * piece.tensor->row_bytes);
      if (buffer.size() < bytes) buffer.resize(bytes);
    }
    pool.run(items + 1, [&](int64_t item, int) {
      if (item == 0) {
        if (!ready.empty()) sink(ready);
        return;
      }
      const OutputTensor& t = *piece.tensor;
      const int64_t at = (item - 1) * rows;
      t.make(piece.first + at, std::min(rows, piece.count - at), buffer.data() + at * t.row_bytes);
    });
    if (piece.tensor == nullptr) break;
    release_source(piece);
    ready = {buffer.data(), static_cast<size_t>(piece.count * piece.tensor->row_bytes)};
    done += static_cast<double>(piece.count * piece.tensor->cols);
    if (on_progress) on_progress(done / all);
  }
}

}  // namespace tessera
