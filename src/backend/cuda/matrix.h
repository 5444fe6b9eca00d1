#pragma once
// A packed weight on the card: segments of rows, each in one format. Float formats are row-major, so that
// cuBLASLt reads them where they are. Quantised ones are tiles of 16 rows; a tile is chunks of 256 inputs
// (inputs padded with zeros), each with its codes in the order in which the lanes of a warp feed them to
// mma.m16n8k32 (int8) and mma.m16n8k16 (bfloat16), and then its scales:
//
//   codes   of 32 inputs, lane 4g + t holds 8 codes of row g and 8 of row g + 8: quad 0 is inputs 4t to
//           4t + 3, quad 1 those 16 further. A quad's bytes are its inputs 0, 2, 1, 3, so that shifts and
//           masks find a pair of neighbours in the halves of a word as well as four codes in its bytes.
//
//     4 bits  [4 × 64 inputs][lane][row g, row g + 8][quad] words, low halves of bytes: the first 32
//     5 bits  that, and the fifth bits: [lane][4 × 64 inputs] words, in each byte
//             bit 4 * (block of 32) + 2 * (row half) + quad
//     6 bits  that, and two bits: [2 × 128 inputs][lane][4 × 32 inputs] words, in each byte
//             bits 2 * (2 * (row half) + quad)
//     8 bits  [8 × 32 inputs][lane][quad][row g, row g + 8] words, two's complement
//
//   scales  [g][groups of the chunk][row g, row g + 8] in the file's format (kSuper: a byte)
//   mins    the same
//   supers  kSuper: [g][row g, row g + 8] float16, and with mins the same again
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "base/quant.h"

namespace tessera::cuda {

inline constexpr int kTileRows = 16, kChunkCols = 256;

/// Which of a quad's four inputs byte 0 … 3 of a word holds, of codes and of the digits of x alike.
constexpr int input_of_byte(int byte) {
  return byte == 1 ? 2 : byte == 2 ? 1 : byte;
}

/// A form that kernels compute on. With `has_min` 8-bit codes are 128 less than the file's.
struct Form {
  int bits = 0, group = 0;
  QuantLayout::Scale scale = QuantLayout::Scale::kF16;
  bool has_min = false;

  constexpr bool operator==(const Form&) const = default;
  constexpr bool super() const { return scale == QuantLayout::Scale::kSuper; }
  constexpr int scale_bytes() const { return super() ? 1 : scale == QuantLayout::Scale::kF32 ? 4 : 2; }
  // Offsets in a chunk.
  constexpr int high_at() const { return kTileRows * kChunkCols * (bits == 8 ? 8 : 4) / 8; }
  constexpr int scales_at() const {
    return high_at() + kTileRows * kChunkCols * (bits == 5 ? 1 : bits == 6 ? 2 : 0) / 8;
  }
  constexpr int scale_count() const { return kTileRows * kChunkCols / group; }
  constexpr int mins_at() const { return scales_at() + scale_count() * scale_bytes(); }
  constexpr int supers_at() const { return mins_at() + (has_min ? scale_count() * scale_bytes() : 0); }
  constexpr int chunk_bytes() const { return supers_at() + (super() ? (has_min ? 64 : 32) : 0); }
};

// TESSERA_CUDA_FORMS(X): every form that has kernels: X(bits, group, scale, has_min). The last holds what no
// other does, without loss (12 bits per weight); IQ4_NL's table is opened to 8 bits.
#define TESSERA_CUDA_FORMS_4(X) \
  X(4, 32, kF16, false)         \
  X(4, 32, kF16, true) X(4, 32, kSuper, true) X(4, 32, kBF16, true) X(4, 64, kBF16, true)
#define TESSERA_CUDA_FORMS_56(X) \
  X(5, 32, kF16, false) X(5, 32, kF16, true) X(5, 32, kSuper, true) X(6, 16, kSuper, false)
#define TESSERA_CUDA_FORMS_8(X) \
  X(8, 32, kF16, false) X(8, 32, kBF16, true) X(8, 64, kBF16, true) X(8, 16, kF32, true)
#define TESSERA_CUDA_FORMS(X) TESSERA_CUDA_FORMS_4(X) TESSERA_CUDA_FORMS_56(X) TESSERA_CUDA_FORMS_8(X)

inline constexpr Form kAnyForm = {8, 16, QuantLayout::Scale::kF32, true};

struct Segment {
  int64_t first_row = 0, rows = 0;
  DType dtype = DType::kF32;  // kQuant: `form`
  Form form;
  int zero = 0;  // of a form without mins and under 8 bits
  uint8_t* data = nullptr;

  int64_t tiles() const { return (rows + kTileRows - 1) / kTileRows; }
};

struct Matrix {
  int64_t rows = 0, cols = 0;
  int64_t stride = 0;      // inputs with padding: a multiple of 256, or of 128 without quantised segments
  bool two_parts = false;  // may be a gate and an up matrix
  std::vector<Segment> segments;  // ascending, no gaps
  std::shared_ptr<void> memory;

  int64_t segment_bytes(const Segment& s) const {
    if (s.dtype == DType::kQuant) return s.tiles() * (stride / kChunkCols) * s.form.chunk_bytes();
    return s.tiles() * kTileRows * stride * dtype_bytes(s.dtype);
  }
};

/// Where the digits (digits.h) of rows go.
struct DigitsOut {
  uint8_t* data = nullptr;  // null: nowhere
  bool sums = false;        // with all of DigitSums, not its scale alone: a product has mins
};

// One matvec: rows of x against tiles of one segment.
struct MatvecArgs {
  const uint8_t* weights = nullptr;
  int64_t tile_bytes = 0, stride = 0;  // stride: inputs with padding
  const void* x = nullptr;             // bf16 [rows, stride]; of quantised weights: digits (digits.h)
  int rows = 0;                        // 1 … 8
  void* y = nullptr;                   // [rows, y_stride] f32 (y_f32); gated: bf16, or f32 when y_f32
  int64_t y_stride = 0;
  int64_t outputs = 0;  // columns of y to write
  int tiles = 0;        // of the segment
  int units = 0;        // of one or two tiles; gated: of a gate and an up tile
  int up_tiles = 0;     // gated: from a gate tile to its up tile
  float cap = 0;
  bool y_f32 = false;
  // Quantised weights, gated:
  DigitsOut y_digits = {};  // of y as well; each block has 128 outputs
  int unit_group = 1;       // neighbouring units of one block
};

}  // namespace tessera::cuda
