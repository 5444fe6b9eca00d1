#pragma once
// Float weights into panels of 16 output rows (docs/DESIGN.md, CPU weights).
#include <cstdint>

#include "backend/backend.h"
#include "base/thread_pool.h"

namespace tessera::cpu {

/// Bytes of the packed form. Rows are padded to whole panels, an odd k of bfloat16 to a whole pair.
int64_t packed_bytes(int64_t rows, int64_t cols, DType dtype);

/// `dtype`: kBF16 (values are exact in it) or kF32. `out`: packed_bytes, zeroed.
void pack_panels(const WeightSource& source, DType dtype, void* out, ThreadPool& pool);

/// One row of packed bfloat16 or float32 back as float32, times `scale`. `out`: [cols].
void unpack_float_row(const void* panels, DType dtype, int64_t cols, int64_t row, float scale, float* out);

}  // namespace tessera::cpu
