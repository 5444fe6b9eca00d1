#include "format/quant_pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"

namespace tessera {

void pack_codes(const uint8_t* codes, int64_t cols, int bits, uint8_t* out) {
  TS_CHECK(cols % 8 == 0, "{} codes", cols);
  for (int64_t i = 0; i < cols; i += 8, out += bits) {
    uint64_t packed = 0;
    for (int k = 0; k < 8; ++k) packed |= static_cast<uint64_t>(codes[i + k]) << (k * bits);
    std::memcpy(out, &packed, static_cast<size_t>(bits));
  }
}

void quantize_affine_row(const float* from, int64_t cols, int bits, int group, uint8_t* codes,
                         uint16_t* scales, uint16_t* biases) {
  constexpr float kSmallest = 1e-7F;  // of a scale, so that a constant group has one
  const auto top = static_cast<float>((1 << bits) - 1);
  for (int64_t g = 0; g < cols / group; ++g) {
    const auto value = [&](int64_t i) {
      const float v = from[g * group + i];
      return std::isfinite(v) ? v : 0.0F;
    };
    float low = value(0), high = low;
    for (int64_t i = 1; i < group; ++i) {
      low = std::min(low, value(i));
      high = std::max(high, value(i));
    }
    const bool from_low = std::abs(low) > std::abs(high);
    const float edge = from_low ? low : high;
    // Halves first: the whole range of float32 may lie between the two.
    float scale = std::max((high / 2 - low / 2) / (top / 2), kSmallest);
    if (!from_low) scale = -scale;
    const float steps = std::nearbyint(edge / scale);  // from the edge to zero
    const bool has_zero = steps != 0;
    scales[g] = f32_to_bf16(has_zero ? edge / steps : scale);
    biases[g] = f32_to_bf16(has_zero ? edge : 0);
    const float s = bf16_to_f32(scales[g]), b = bf16_to_f32(biases[g]);
    for (int64_t i = 0; i < group; ++i) {
      const float code = std::nearbyint((value(i) - b) / s);
      codes[g * group + i] =
          static_cast<uint8_t>(code > 0 ? std::min(code, top) : 0);  // 0 for what is no number
    }
  }
}

void pack_blocks(FileType type, const uint8_t* codes, const uint16_t* d, const uint16_t* m, int64_t blocks,
                 uint8_t* out) {
  const bool has_min = type == FileType::kQ4_1 || type == FileType::kQ5_1;
  const bool fifth = type == FileType::kQ5_0 || type == FileType::kQ5_1;
  for (int64_t n = 0; n < blocks; ++n, codes += 32) {
    std::memcpy(out, d + n, 2);
    out += 2;
    if (has_min) {
      std::memcpy(out, m + n, 2);
      out += 2;
    }
    if (type == FileType::kQ8_0) {
      for (int j = 0; j < 32; ++j) out[j] = codes[j] ^ 0x80;  // q + 128 → int8 q
      out += 32;
      continue;
    }
    if (fifth) {
      uint32_t high = 0;
      for (int j = 0; j < 32; ++j) high |= static_cast<uint32_t>(codes[j] >> 4 & 1) << j;
      std::memcpy(out, &high, 4);
      out += 4;
    }
    for (int j = 0; j < 16; ++j) out[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
    out += 16;
  }
}

}  // namespace tessera
