#pragma once
// Quantised weights in panels of 16 outputs (docs/DESIGN.md, Quantised weights). A panel is its chunks of 256
// inputs, one after the other, so that a row product reads one stream: scales kept apart from the codes cost
// a third of the memory's bandwidth, since no prefetcher follows the second stream. A chunk, padded to 64
// bytes before the codes:
//   supers   kSuper only: [16] float16 scales, then [16] float16 mins when there are any
//   scales   for each group (kSuper: for each block) [16] scales, then [16] mins when there are any, as in
//   the file;
//            kSuper with groups of 16 inputs: [2][16]
//   codes    for each 32 inputs ("block"), eight steps of 4 inputs; a step is [16 outputs][4 inputs], 64
//   bytes of codes:
//            8 bits  512 B: the steps
//            4 bits  256 B: line c has step 2c in its low and step 2c + 1 in its high nibbles
//            5 bits  256 B as 4 bits, then 64 B: bit s of a byte is the fifth bit of step s
//            6 bits  256 B as 4 bits, then 128 B: bits 2s and 2s + 1 of a byte of line h belong to step 4h +
//            s
// The last chunk has room for 256 inputs, too.
#include <cstdint>

#include "backend/backend.h"
#include "base/quant.h"
#include "base/thread_pool.h"

namespace tessera::cpu {

inline constexpr int64_t kBlock = 32;  // inputs that share an activation scale

inline constexpr int64_t kChunk = 256;

struct PanelShape {
  QuantLayout layout;
  int64_t cols = 0;
  int64_t block_bytes = 0;              // codes of a block
  int64_t record_bytes = 0;             // one group's (kSuper: block's) scales and mins
  int64_t scales_at = 0, codes_at = 0;  // offsets in a chunk
  int64_t chunk_bytes = 0, panel_bytes = 0;

  /// Inputs that a scale record covers.
  int64_t record_inputs() const { return layout.scale == QuantLayout::Scale::kSuper ? kBlock : layout.group; }
};

/// Whether the kernels compute on this form as it is (otherwise it is opened to float).
bool can_pack(const QuantLayout& layout, int64_t cols);
PanelShape panel_shape(const QuantLayout& layout, int64_t cols);

/// `read`: one row in neutral form, any thread. `out`: whole panels, zeroed; rows beyond `rows` stay zero
/// weights.
void pack_quant(const PanelShape& shape, int64_t rows,
                const std::function<void(int64_t row, const QuantRow& out)>& read, uint8_t* out,
                ThreadPool& pool);

/// One row back as float32, times `scale`.
void unpack_quant_row(const PanelShape& shape, const uint8_t* panels, int64_t row, float scale, float* out);

}  // namespace tessera::cpu
