#pragma once
// A packed matrix: segments of whole panels, each in one number format. What a backend's Weight points to.
#include <cstdint>
#include <functional>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/quant_panels.h"
#include "base/thread_pool.h"

namespace tessera::cpu {

struct Segment {
  int64_t first_row = 0, rows = 0;  // first_row is a multiple of 16
  DType dtype = DType::kF32;        // kF32, kBF16, or kQuant: `shape`
  PanelShape shape;
  int64_t panel_bytes = 0;
  uint8_t* data = nullptr;

  int64_t panels() const { return (rows + 15) / 16; }
};

struct PackedWeight {
  int64_t rows = 0, cols = 0;
  std::vector<Segment> segments;  // ascending, no gaps
};

/// Memory for one segment, aligned to 64, that outlives the weight: zeroed, or `filled` with what was packed
/// before.
struct Held {
  uint8_t* data = nullptr;
  bool filled = false;
};

/// Parts that cannot be computed on as they
/// are stored are opened to bfloat16 where that is exact, else to float32.
PackedWeight pack_weight(const WeightSource& source, ThreadPool& pool,
                         const std::function<Held(int64_t bytes)>& hold);

/// One row back as float32, times `scale`. `out`: [cols].
void unpack_row(const PackedWeight& w, int64_t row, float scale, float* out);

}  // namespace tessera::cpu
