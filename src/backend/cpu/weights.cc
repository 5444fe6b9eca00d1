#include "backend/cpu/weights.h"

#include <algorithm>

#include "backend/cpu/pack.h"
#include "backend/cpu/tiling.h"
#include "base/error.h"

namespace tessera::cpu {
namespace {

// Neighbouring parts of one quantised form, read as one matrix; rows of padding read as zero scales.
struct QuantRun {
  const WeightSource* source = nullptr;
  size_t first = 0, last = 0;  // parts [first, last)
  int64_t rows = 0;            // padding included

  void read(int64_t row, const QuantRow& out, int64_t scale_bytes, int64_t supers) const {
    for (size_t i = first; i < last; ++i) {
      const WeightPart& part = source->parts[i];
      if (row < part.rows) return part.read_quant(row, out);
      row -= align_up(part.rows, source->row_align);
      if (row < 0) break;
    }
    const QuantLayout& l = source->parts[first].quant;
    std::fill_n(out.codes, source->cols, uint8_t{0});
    std::fill_n(static_cast<uint8_t*>(out.scales), source->cols / l.group * scale_bytes, uint8_t{0});
    std::fill_n(static_cast<uint8_t*>(out.mins), source->cols / l.group * scale_bytes, uint8_t{0});
    std::fill_n(out.super_scales, supers, uint16_t{0});
    std::fill_n(out.super_mins, supers, uint16_t{0});
  }
};

// The source as runs of one form each; empty when some part must be opened to float.
std::vector<QuantRun> quant_runs(const WeightSource& source) {
  std::vector<QuantRun> runs;
  int64_t row = 0;
  for (size_t i = 0; i < source.parts.size(); ++i) {
    const WeightPart& part = source.parts[i];
    if (part.quant.bits == 0 || !can_pack(part.quant, source.cols)) return {};
    if (runs.empty() || !(source.parts[runs.back().first].quant == part.quant)) {
      if (row % kPanel != 0) return {};
      runs.push_back({&source, i, i, 0});
    }
    runs.back().last = i + 1;
    runs.back().rows += align_up(part.rows, source.row_align);
    row += align_up(part.rows, source.row_align);
  }
  return runs;
}

}  // namespace

PackedWeight pack_weight(const WeightSource& source, ThreadPool& pool,
                         const std::function<Held(int64_t bytes)>& hold) {
  PackedWeight w{source.rows(), source.cols, {}};
  for (const QuantRun& run : quant_runs(source)) {
    const QuantLayout& layout = source.parts[run.first].quant;
    const int64_t scale_bytes = layout.scale == QuantLayout::Scale::kSuper ? 1
                                : layout.scale == QuantLayout::Scale::kF32 ? 4
                                                                           : 2;
    Segment s{.first_row = w.segments.empty() ? 0 : w.segments.back().first_row + w.segments.back().rows,
              .rows = run.rows,
              .dtype = DType::kQuant,
              .shape = panel_shape(layout, source.cols)};
    s.panel_bytes = s.shape.panel_bytes;
    const Held held = hold(s.panels() * s.panel_bytes);
    s.data = held.data;
    if (!held.filled) {
      for (size_t i = run.first; i < run.last; ++i)
        if (source.parts[i].fetch) source.parts[i].fetch();
      pack_quant(
          s.shape, s.rows,
          [&](int64_t row, const QuantRow& out) {
            run.read(row, out, scale_bytes, source.cols / kSuperBlock);
          },
          s.data, pool);
    }
    w.segments.push_back(s);
  }
  if (!w.segments.empty()) return w;
  const bool bf16 =
      std::ranges::all_of(source.parts, [](const WeightPart& p) { return p.stored == DType::kBF16; });
  Segment s{.rows = w.rows, .dtype = bf16 ? DType::kBF16 : DType::kF32, .shape = {}};
  s.panel_bytes = packed_bytes(kPanel, w.cols, s.dtype);
  const Held held = hold(s.panels() * s.panel_bytes);
  s.data = held.data;
  if (!held.filled) {
    source.fetch();
    pack_panels(source, s.dtype, s.data, pool);
  }
  w.segments.push_back(s);
  return w;
}

void unpack_row(const PackedWeight& w, int64_t row, float scale, float* out) {
  for (const Segment& s : w.segments)
    if (row < s.first_row + s.rows) {
      if (s.dtype == DType::kQuant)
        unpack_quant_row(s.shape, s.data, row - s.first_row, scale, out);
      else
        unpack_float_row(s.data, s.dtype, w.cols, row - s.first_row, scale, out);
      return;
    }
  TS_CHECK(false, "row {} of {}", row, w.rows);
}

}  // namespace tessera::cpu

namespace tessera {

int64_t cpu_quant_bytes(const QuantLayout& layout, int64_t rows, int64_t cols) {
  if (!cpu::can_pack(layout, cols)) return rows * cols * dtype_bytes(DType::kF32);
  return (rows + cpu::kPanel - 1) / cpu::kPanel * cpu::panel_shape(layout, cols).panel_bytes;
}

}  // namespace tessera
