#include "backend/cpu/pack.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/tiling.h"

namespace tessera::cpu {
namespace {

int64_t panels_of(int64_t rows) {
  return (rows + kPanel - 1) / kPanel;
}

// Values of one panel: bfloat16 pads k to pairs.
int64_t panel_values(int64_t cols, DType dtype) {
  return (dtype == DType::kBF16 ? (cols + 1) / 2 * 2 : cols) * kPanel;
}

}  // namespace

int64_t packed_bytes(int64_t rows, int64_t cols, DType dtype) {
  return panels_of(rows) * panel_values(cols, dtype) * dtype_bytes(dtype);
}

void pack_panels(const WeightSource& source, DType dtype, void* out, ThreadPool& pool) {
  const int64_t cols = source.cols, values = panel_values(cols, dtype);
  std::vector<std::vector<float>> buffers(static_cast<size_t>(pool.threads()));
  pool.run(panels_of(source.rows()), [&](int64_t panel, int worker) {
    std::vector<float>& rows = buffers[static_cast<size_t>(worker)];
    rows.resize(static_cast<size_t>(kPanel * cols));
    const int64_t first = panel * kPanel, count = std::min(kPanel, source.rows() - first);
    source.read(first, count, rows.data());
    if (dtype == DType::kBF16) {
      uint16_t* to = static_cast<uint16_t*>(out) + panel * values;
      for (int64_t r = 0; r < count; ++r) {
        const float* from = rows.data() + r * cols;
        for (int64_t k = 0; k < cols; ++k) to[(k / 2 * kPanel + r) * 2 + k % 2] = f32_to_bf16(from[k]);
      }
    } else {
      float* to = static_cast<float*>(out) + panel * values;
      for (int64_t r = 0; r < count; ++r)
        for (int64_t k = 0; k < cols; ++k) to[k * kPanel + r] = rows[static_cast<size_t>(r * cols + k)];
    }
  });
}

void unpack_float_row(const void* panels, DType dtype, int64_t cols, int64_t row, float scale, float* out) {
  const int64_t at = row / kPanel * panel_values(cols, dtype), r = row % kPanel;
  if (dtype == DType::kBF16) {
    const uint16_t* panel = static_cast<const uint16_t*>(panels) + at;
    for (int64_t k = 0; k < cols; ++k) out[k] = bf16_to_f32(panel[(k / 2 * kPanel + r) * 2 + k % 2]) * scale;
  } else {
    const float* panel = static_cast<const float*>(panels) + at;
    for (int64_t k = 0; k < cols; ++k) out[k] = panel[k * kPanel + r] * scale;
  }
}

}  // namespace tessera::cpu
