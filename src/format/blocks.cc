#include "format/blocks.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"

namespace tessera {
namespace {

using Scale = QuantLayout::Scale;

constexpr int64_t kMaxGroups = 16;  // of one block: Q6_K has 16 groups of 16

/// One block in the neutral form. Of scale and min as the layout says: float16 bits, or sub-scales.
struct Block {
  std::array<uint8_t, kSuperBlock> codes;
  std::array<uint16_t, kMaxGroups> scales, mins;
  uint16_t super_scale, super_min;
};

uint16_t load16(const uint8_t* from) {
  return static_cast<uint16_t>(from[0] | from[1] << 8);
}

/// 16 bytes: the low nibbles are codes 0 … 15, the high ones 16 … 31.
void read_nibbles(const uint8_t* qs, uint8_t* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = qs[j] & 15;
    codes[j + 16] = static_cast<uint8_t>(qs[j] >> 4);
  }
}

/// Bit j of the 32 bits at `qh` is bit 4 of code j.
void add_fifth_bits(const uint8_t* qh, uint8_t* codes) {
  for (int j = 0; j < 32; ++j) codes[j] |= static_cast<uint8_t>((qh[j / 8] >> (j % 8) & 1) << 4);
}

void read_q8_0(const uint8_t* from, Block& to) {
  to.scales[0] = load16(from);
  for (size_t j = 0; j < 32; ++j) to.codes[j] = from[2 + j] ^ 0x80;  // int8 q → q + 128
}

void read_q4(const uint8_t* from, bool has_min, bool fifth_bits, Block& to) {
  to.scales[0] = load16(from);
  from += 2;
  if (has_min) {
    to.mins[0] = load16(from);
    from += 2;
  }
  read_nibbles(from + (fifth_bits ? 4 : 0), to.codes.data());
  if (fifth_bits) add_fifth_bits(from, to.codes.data());
}

void read_q45_k(const uint8_t* from, bool fifth_bits, Block& to) {
  to.super_scale = load16(from);
  to.super_min = load16(from + 2);
  const uint8_t* packed = from + 4;  // 6 bits each
  for (size_t j = 0; j < 8; ++j) {
    to.scales[j] = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    to.mins[j] = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
  }
  const uint8_t* qh = from + 16;
  const uint8_t* qs = from + (fifth_bits ? 48 : 16);
  for (size_t chunk = 0; chunk < 4; ++chunk)
    for (size_t l = 0; l < 32; ++l) {
      const uint8_t q = qs[32 * chunk + l];
      const int high = fifth_bits ? qh[l] >> (2 * chunk) : 0;
      to.codes[64 * chunk + l] = static_cast<uint8_t>((q & 15) | (high & 1) << 4);
      to.codes[64 * chunk + 32 + l] = static_cast<uint8_t>(q >> 4 | (high >> 1 & 1) << 4);
    }
}

void read_q6_k(const uint8_t* from, Block& to) {
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t *ql = from + 64 * half, *qh = from + 128 + 32 * half;
    uint8_t* codes = to.codes.data() + 128 * half;
    for (size_t l = 0; l < 32; ++l) {
      codes[l] = static_cast<uint8_t>((ql[l] & 15) | (qh[l] & 3) << 4);
      codes[l + 32] = static_cast<uint8_t>((ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4);
      codes[l + 64] = static_cast<uint8_t>(ql[l] >> 4 | (qh[l] >> 4 & 3) << 4);
      codes[l + 96] = static_cast<uint8_t>(ql[l + 32] >> 4 | (qh[l] >> 6 & 3) << 4);
    }
  }
  for (size_t j = 0; j < 16; ++j) to.scales[j] = from[192 + j];  // the bits of an int8
  to.super_scale = load16(from + 208);
}

struct BlockType {
  FileType type;
  int64_t values, bytes;
  QuantLayout layout;
  void (*read)(const uint8_t* from, Block& to);
};

constexpr QuantLayout layout_of(int bits, int group, int zero, Scale scale, bool has_min) {
  return {.bits = bits, .group = group, .zero = zero, .scale = scale, .has_min = has_min};
}

constexpr BlockType kBlockTypes[] = {
    {FileType::kQ4_0, 32, 18, layout_of(4, 32, 8, Scale::kF16, false),
     [](const uint8_t* from, Block& to) { read_q4(from, false, false, to); }},
    {FileType::kQ4_1, 32, 20, layout_of(4, 32, 0, Scale::kF16, true),
     [](const uint8_t* from, Block& to) { read_q4(from, true, false, to); }},
    {FileType::kQ5_0, 32, 22, layout_of(5, 32, 16, Scale::kF16, false),
     [](const uint8_t* from, Block& to) { read_q4(from, false, true, to); }},
    {FileType::kQ5_1, 32, 24, layout_of(5, 32, 0, Scale::kF16, true),
     [](const uint8_t* from, Block& to) { read_q4(from, true, true, to); }},
    {FileType::kQ8_0, 32, 34, layout_of(8, 32, 128, Scale::kF16, false), read_q8_0},
    {FileType::kQ4_K, 256, 144, layout_of(4, 32, 0, Scale::kSuper, true),
     [](const uint8_t* from, Block& to) { read_q45_k(from, false, to); }},
    {FileType::kQ5_K, 256, 176, layout_of(5, 32, 0, Scale::kSuper, true),
     [](const uint8_t* from, Block& to) { read_q45_k(from, true, to); }},
    {FileType::kQ6_K, 256, 210, layout_of(6, 16, 32, Scale::kSuper, false), read_q6_k},
    {FileType::kIQ4_NL,
     32,
     18,
     {.bits = 4, .group = 32, .scale = Scale::kF16, .table = true},
     [](const uint8_t* from, Block& to) { read_q4(from, false, false, to); }},
};

const BlockType& find(FileType type) {
  const auto* it = std::find_if(std::begin(kBlockTypes), std::end(kBlockTypes),
                                [&](const auto& b) { return b.type == type; });
  TS_CHECK(it != std::end(kBlockTypes), "{} is not a block type", to_string(type));
  return *it;
}

}  // namespace

bool is_block_type(FileType type) {
  return std::any_of(std::begin(kBlockTypes), std::end(kBlockTypes),
                     [&](const BlockType& b) { return b.type == type; });
}

int64_t block_values(FileType type) {
  return find(type).values;
}

int64_t block_bytes(FileType type) {
  return find(type).bytes;
}

int64_t row_bytes(FileType type, int64_t cols) {
  const BlockType& b = find(type);
  if (cols < 0 || cols % b.values != 0)
    throw_error(ErrorKind::kBadModel, "rows of {} values cannot be {}, whose blocks have {} values", cols,
                to_string(type), b.values);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(cols / b.values, b.bytes, &bytes))
    throw_error(ErrorKind::kBadModel, "rows of {} values of {} have more than 2^63 bytes", cols,
                to_string(type));
  return bytes;
}

QuantLayout block_layout(FileType type) {
  return find(type).layout;
}

void dequantize_blocks(FileType type, const uint8_t* from, int64_t values, float* out) {
  const BlockType& b = find(type);
  TS_CHECK(values % b.values == 0, "{} values of {}", values, to_string(type));
  const QuantLayout& layout = b.layout;
  const bool super = layout.scale == Scale::kSuper;
  Block block;
  for (int64_t done = 0; done < values; done += b.values, from += b.bytes) {
    b.read(from, block);
    const float super_scale = super ? f16_to_f32(block.super_scale) : 0,
                super_min = super && layout.has_min ? f16_to_f32(block.super_min) : 0;
    const uint8_t* code = block.codes.data();
    for (size_t g = 0; g < static_cast<size_t>(b.values / layout.group); ++g) {
      const float scale = super ? super_scale * static_cast<float>(static_cast<int8_t>(block.scales[g]))
                                : f16_to_f32(block.scales[g]);
      float min = 0;
      if (layout.has_min)
        min = super ? -(super_min * static_cast<float>(block.mins[g])) : f16_to_f32(block.mins[g]);
      for (int j = 0; j < layout.group; ++j, ++code, ++out) {
        const int number = layout.table ? kIq4Values[*code] : *code - layout.zero;
        *out = scale * static_cast<float>(number);
        if (layout.has_min) *out += min;
      }
    }
  }
}

void read_block_row(FileType type, const uint8_t* from, int64_t cols, const QuantRow& out) {
  const BlockType& b = find(type);
  TS_CHECK(cols % b.values == 0, "{} columns of {}", cols, to_string(type));
  const bool super = b.layout.scale == Scale::kSuper;
  const int64_t groups = b.values / b.layout.group;
  Block block;
  for (int64_t n = 0; n < cols / b.values; ++n, from += b.bytes) {
    b.read(from, block);
    std::memcpy(out.codes + n * b.values, block.codes.data(), static_cast<size_t>(b.values));
    for (int64_t g = 0; g < groups; ++g) {
      const auto at = static_cast<size_t>(g);
      if (super)
        static_cast<int8_t*>(out.scales)[n * groups + g] = static_cast<int8_t>(block.scales[at]);
      else
        static_cast<uint16_t*>(out.scales)[n * groups + g] = block.scales[at];
      if (!b.layout.has_min) continue;
      if (super)
        static_cast<uint8_t*>(out.mins)[n * groups + g] = static_cast<uint8_t>(block.mins[at]);
      else
        static_cast<uint16_t*>(out.mins)[n * groups + g] = block.mins[at];
    }
    if (super) out.super_scales[n] = block.super_scale;
    if (super && b.layout.has_min) out.super_mins[n] = block.super_min;
  }
}

}  // namespace tessera
