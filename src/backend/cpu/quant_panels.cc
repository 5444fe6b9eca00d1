#include "backend/cpu/quant_panels.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cpu/tiling.h"
#include "base/error.h"

namespace tessera::cpu {
namespace {

using Scale = QuantLayout::Scale;

int64_t align64(int64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

int64_t scale_bytes(Scale kind) {
  return kind == Scale::kSuper ? 1 : kind == Scale::kF32 ? 4 : 2;
}

float scale_value(Scale kind, const uint8_t* at) {
  uint16_t bits = 0;
  float f = 0;
  switch (kind) {
    case Scale::kF32:
      std::memcpy(&f, at, 4);
      return f;
    case Scale::kF16:
    case Scale::kBF16:
      std::memcpy(&bits, at, 2);
      return kind == Scale::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    case Scale::kSuper:
      break;
  }
  return static_cast<float>(static_cast<int8_t>(*at));
}

// Four codes of one output, input 4 * step of the block and on, one a byte.
void put_step(const PanelShape& s, uint8_t* block, int64_t step, int64_t output, uint32_t codes) {
  const auto or_word = [&](int64_t at, uint32_t bits) {
    uint32_t word = 0;
    std::memcpy(&word, block + at + output * 4, 4);
    word |= bits;
    std::memcpy(block + at + output * 4, &word, 4);
  };
  if (s.layout.bits == 8) return or_word(step * 64, codes);
  or_word(step / 2 * 64, (codes & 0x0f0f0f0fU) << (step % 2 * 4));
  if (s.layout.bits == 5) or_word(256, (codes >> 4 & 0x01010101U) << step);
  if (s.layout.bits == 6) or_word(256 + step / 4 * 64, (codes >> 4 & 0x03030303U) << (step % 4 * 2));
}

uint32_t get_code(const PanelShape& s, const uint8_t* block, int64_t input, int64_t output) {
  const int64_t step = input / 4, at = output * 4 + input % 4;
  if (s.layout.bits == 8) return block[step * 64 + at];
  uint32_t code = block[step / 2 * 64 + at] >> (step % 2 * 4) & 15U;
  if (s.layout.bits == 5) code |= (block[256 + at] >> step & 1U) << 4;
  if (s.layout.bits == 6) code |= (block[256 + step / 4 * 64 + at] >> (step % 4 * 2) & 3U) << 4;
  return code;
}

// The neutral form of one row, and memory for it.
struct RowBuffer {
  explicit RowBuffer(const PanelShape& s)
      : codes(static_cast<size_t>(s.cols)),
        scales(static_cast<size_t>(s.cols / s.layout.group * scale_bytes(s.layout.scale))),
        mins(scales.size()),
        super_scales(static_cast<size_t>((s.cols + kSuperBlock - 1) / kSuperBlock)),
        super_mins(super_scales.size()) {}

  QuantRow row() {
    return {codes.data(), scales.data(), mins.data(), super_scales.data(), super_mins.data()};
  }

  std::vector<uint8_t> codes, scales, mins;
  std::vector<uint16_t> super_scales, super_mins;
};

// Where the scale of group g of an output is, and how far behind it its min.
struct ScalePlace {
  int64_t at, min_offset;
};
ScalePlace scale_place(const PanelShape& s, int64_t g, int64_t output) {
  const int64_t size = scale_bytes(s.layout.scale), input = g * s.layout.group;
  const int64_t per_record = std::max<int64_t>(1, s.record_inputs() / s.layout.group);
  const int64_t record = input % kChunk / s.record_inputs();
  return {input / kChunk * s.chunk_bytes + s.scales_at + record * s.record_bytes +
              (g % per_record * kPanel + output) * size,
          per_record * kPanel * size};
}

int64_t block_at(const PanelShape& s, int64_t input) {
  return input / kChunk * s.chunk_bytes + s.codes_at + input % kChunk / kBlock * s.block_bytes;
}

void put_row(const PanelShape& s, const RowBuffer& row, int64_t output, uint8_t* panel) {
  for (int64_t k = 0; k < s.cols; k += kBlock)
    for (int64_t step = 0; step < 8; ++step) {
      uint32_t codes = 0;
      std::memcpy(&codes, row.codes.data() + k + step * 4, 4);
      put_step(s, panel + block_at(s, k), step, output, codes);
    }
  const auto size = static_cast<size_t>(scale_bytes(s.layout.scale));
  for (int64_t g = 0; g < s.cols / s.layout.group; ++g) {
    const ScalePlace place = scale_place(s, g, output);
    const size_t from = static_cast<size_t>(g) * size;
    std::memcpy(panel + place.at, row.scales.data() + from, size);
    if (s.layout.has_min) std::memcpy(panel + place.at + place.min_offset, row.mins.data() + from, size);
  }
  if (s.layout.scale != Scale::kSuper) return;
  for (int64_t i = 0; i < s.cols / kSuperBlock; ++i) {
    uint8_t* super = panel + i * s.chunk_bytes;
    std::memcpy(super + output * 2, &row.super_scales[static_cast<size_t>(i)], 2);
    if (s.layout.has_min)
      std::memcpy(super + kPanel * 2 + output * 2, &row.super_mins[static_cast<size_t>(i)], 2);
  }
}

}  // namespace

bool can_pack(const QuantLayout& l, int64_t cols) {
  if (l.bits != 4 && l.bits != 5 && l.bits != 6 && l.bits != 8) return false;
  if (l.table && (l.bits != 4 || l.has_min)) return false;
  if (l.bits == 6 && l.group != 16 && !l.has_min) return false;  // no file format has it
  if (l.group == 16 && l.bits != 6) return false;
  if (l.scale == Scale::kSuper)
    return cols % kSuperBlock == 0 && (l.group == 32 || (l.group == 16 && !l.has_min));
  return (l.group == 32 || l.group == 64 || l.group == 128) && cols % l.group == 0;
}

PanelShape panel_shape(const QuantLayout& layout, int64_t cols) {
  TS_CHECK(can_pack(layout, cols), "{} bits in groups of {}, rows of {}", layout.bits, layout.group, cols);
  PanelShape s{.layout = layout, .cols = cols};
  s.block_bytes = layout.bits == 8 ? 512 : 256 + (layout.bits - 4) * 64;
  const int64_t scales =
      std::max<int64_t>(1, s.record_inputs() / layout.group) * kPanel * scale_bytes(layout.scale);
  s.record_bytes = layout.has_min ? 2 * scales : scales;
  s.scales_at = layout.scale == Scale::kSuper ? (layout.has_min ? 4 : 2) * kPanel : 0;
  s.codes_at = align64(s.scales_at + kChunk / s.record_inputs() * s.record_bytes);
  s.chunk_bytes = s.codes_at + kChunk / kBlock * s.block_bytes;
  s.panel_bytes = (cols + kChunk - 1) / kChunk * s.chunk_bytes;
  return s;
}

void pack_quant(const PanelShape& shape, int64_t rows,
                const std::function<void(int64_t row, const QuantRow& out)>& read, uint8_t* out,
                ThreadPool& pool) {
  std::vector<RowBuffer> buffers(static_cast<size_t>(pool.threads()), RowBuffer(shape));
  pool.run((rows + kPanel - 1) / kPanel, [&](int64_t panel, int worker) {
    RowBuffer& row = buffers[static_cast<size_t>(worker)];
    for (int64_t r = panel * kPanel; r < std::min(rows, (panel + 1) * kPanel); ++r) {
      read(r, row.row());
      put_row(shape, row, r % kPanel, out + panel * shape.panel_bytes);
    }
  });
}

void unpack_quant_row(const PanelShape& s, const uint8_t* panels, int64_t row, float scale, float* out) {
  const uint8_t* panel = panels + row / kPanel * s.panel_bytes;
  const int64_t output = row % kPanel;
  for (int64_t g = 0; g < s.cols / s.layout.group; ++g) {
    const ScalePlace place = scale_place(s, g, output);
    const uint8_t *at = panel + place.at, *min_at = at + place.min_offset;
    float d = scale_value(s.layout.scale, at), m = 0;
    if (s.layout.has_min) m = s.layout.scale == Scale::kSuper ? *min_at : scale_value(s.layout.scale, min_at);
    if (s.layout.scale == Scale::kSuper) {
      const uint8_t* super = panel + g * s.layout.group / kSuperBlock * s.chunk_bytes;
      d *= scale_value(Scale::kF16, super + output * 2);
      if (s.layout.has_min) m *= -scale_value(Scale::kF16, super + kPanel * 2 + output * 2);
    }
    for (int64_t k = g * s.layout.group; k < (g + 1) * s.layout.group; ++k) {
      const auto code = static_cast<int>(get_code(s, panel + block_at(s, k), k % kBlock, output));
      const int value = s.layout.table ? kIq4Values[code] : code - s.layout.zero;
      out[k] = (d * static_cast<float>(value) + m) * scale;
    }
  }
}

}  // namespace tessera::cpu
