// GGUF's blocks: the formulas of formats.md §3, written out here once more value by value.
#include "format/blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/dtype.h"
#include "support/expect_error.h"

namespace tessera {
namespace {

constexpr FileType kAll[] = {FileType::kQ4_0, FileType::kQ4_1, FileType::kQ5_0,
                             FileType::kQ5_1, FileType::kQ8_0, FileType::kQ4_K,
                             FileType::kQ5_K, FileType::kQ6_K, FileType::kIQ4_NL};

float half_at(const uint8_t* p) {
  return f16_to_f32(static_cast<uint16_t>(p[0] | p[1] << 8));
}

/// Value i of one block, as §3 words it.
float by_formula(FileType type, const uint8_t* p, int i) {
  const float d = half_at(p);
  const auto nibble = [i](const uint8_t* qs) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; };
  const auto fifth = [i](const uint8_t* qh) {
    const uint32_t bits = qh[0] | qh[1] << 8 | qh[2] << 16 | static_cast<uint32_t>(qh[3]) << 24;
    return static_cast<int>(bits >> i & 1) * 16;
  };
  switch (type) {
    case FileType::kQ8_0:
      return d * static_cast<float>(static_cast<int8_t>(p[2 + i]));
    case FileType::kQ4_0:
      return d * static_cast<float>(nibble(p + 2) - 8);
    case FileType::kIQ4_NL:
      return d * static_cast<float>(kIq4Values[nibble(p + 2)]);
    case FileType::kQ4_1:
      return d * static_cast<float>(nibble(p + 4)) + half_at(p + 2);
    case FileType::kQ5_0:
      return d * static_cast<float>(nibble(p + 6) + fifth(p + 2) - 16);
    case FileType::kQ5_1:
      return d * static_cast<float>(nibble(p + 8) + fifth(p + 4)) + half_at(p + 2);
    case FileType::kQ4_K:
    case FileType::kQ5_K: {
      const uint8_t* s = p + 4;
      const int j = i / 32, c = i / 64, l = i % 32;
      const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
      const int mn = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
      const uint8_t* qs = p + (type == FileType::kQ4_K ? 16 : 48) + 32 * c;
      int q = j % 2 == 0 ? qs[l] & 15 : qs[l] >> 4;
      if (type == FileType::kQ5_K && (p[16 + l] >> (2 * c + j % 2) & 1) != 0) q += 16;
      return d * static_cast<float>(sc) * static_cast<float>(q) - half_at(p + 2) * static_cast<float>(mn);
    }
    default: {  // Q6_K
      const int n = i / 128, l = i % 32, quarter = i % 128 / 32, s = l / 16;
      const uint8_t *ql = p + 64 * n, *qh = p + 128 + 32 * n;
      const int low = quarter == 0   ? ql[l] & 15
                      : quarter == 1 ? ql[l + 32] & 15
                      : quarter == 2 ? ql[l] >> 4
                                     : ql[l + 32] >> 4;
      const int q = (low | ((qh[l] >> (2 * quarter) & 3) << 4)) - 32;
      const auto scale = static_cast<int8_t>(p[192 + 8 * n + s + 2 * quarter]);
      return half_at(p + 208) * static_cast<float>(scale) * static_cast<float>(q);
    }
  }
}

/// Random blocks whose float16 scales are finite.
std::vector<uint8_t> random_blocks(FileType type, int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(static_cast<size_t>(block_bytes(type) * count));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (int n = 0; n < count; ++n) {
    uint8_t* p = bytes.data() + n * block_bytes(type);
    for (const int at : type == FileType::kQ6_K ? std::vector{209} : std::vector{1, 3})
      if ((p[at] & 0x7c) == 0x7c) p[at] ^= 0x40;  // infinity or not a number
  }
  return bytes;
}

bool same_bits(float a, float b) {
  return std::memcmp(&a, &b, 4) == 0;
}

TEST(blocks, sizes_are_those_of_the_format) {
  const int64_t values[] = {32, 32, 32, 32, 32, 256, 256, 256, 32},
                bytes[] = {18, 20, 22, 24, 34, 144, 176, 210, 18};
  const char* names[] = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"};
  for (size_t i = 0; i < std::size(kAll); ++i) {
    EXPECT_TRUE(is_block_type(kAll[i]));
    EXPECT_EQ(block_values(kAll[i]), values[i]);
    EXPECT_EQ(block_bytes(kAll[i]), bytes[i]);
    EXPECT_EQ(row_bytes(kAll[i], 3840), 3840 / values[i] * bytes[i]);
    EXPECT_STREQ(to_string(kAll[i]), names[i]);
  }
  for (const FileType type : {FileType::kF32, FileType::kBF16, FileType::kU8, FileType::kBool})
    EXPECT_FALSE(is_block_type(type));
}

TEST(blocks, a_row_that_is_not_whole_blocks_is_an_error) {
  expect_error(ErrorKind::kBadModel, {"640", "Q4_K", "256"}, [] { row_bytes(FileType::kQ4_K, 640); });
  expect_error(ErrorKind::kBadModel, {"31", "Q8_0", "32"}, [] { row_bytes(FileType::kQ8_0, 31); });
  expect_error(ErrorKind::kBadModel, {"-32"}, [] { row_bytes(FileType::kQ8_0, -32); });
  expect_error(ErrorKind::kBadModel, {"2^63"}, [] { row_bytes(FileType::kQ8_0, INT64_MAX & ~int64_t{31}); });
  EXPECT_EQ(row_bytes(FileType::kQ8_0, 640), 680);
}

TEST(blocks, blocks_by_hand) {
  std::vector<float> out(32);
  // 0x3800 is 0.5, 0xc000 is -2.
  std::vector<uint8_t> q4_0 = {0x00, 0x38};
  for (int j = 0; j < 16; ++j) q4_0.push_back(static_cast<uint8_t>(j | (15 - j) << 4));
  dequantize_blocks(FileType::kQ4_0, q4_0.data(), 32, out.data());
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(out[static_cast<size_t>(j)], 0.5F * static_cast<float>(j - 8));
    EXPECT_EQ(out[static_cast<size_t>(j + 16)], 0.5F * static_cast<float>(7 - j));
  }
  std::vector<uint8_t> q8_0 = {0x00, 0x38};
  for (int j = 0; j < 32; ++j) q8_0.push_back(static_cast<uint8_t>(j * 8 - 128));
  dequantize_blocks(FileType::kQ8_0, q8_0.data(), 32, out.data());
  for (int j = 0; j < 32; ++j) EXPECT_EQ(out[static_cast<size_t>(j)], 0.5F * static_cast<float>(j * 8 - 128));

  std::vector<uint8_t> q5_1 = {0x00, 0x38, 0x00, 0xc0,
                               0x01, 0x00, 0x00, 0x80};  // fifth bits of values 0 and 31
  q5_1.resize(24, 0x31);
  dequantize_blocks(FileType::kQ5_1, q5_1.data(), 32, out.data());
  EXPECT_EQ(out[0], 0.5F * 17 - 2);
  EXPECT_EQ(out[1], 0.5F * 1 - 2);
  EXPECT_EQ(out[16], 0.5F * 3 - 2);
  EXPECT_EQ(out[31], 0.5F * 19 - 2);

  std::vector<uint8_t> iq4_nl = {0x00, 0x38};
  iq4_nl.resize(18, 0x0f);
  dequantize_blocks(FileType::kIQ4_NL, iq4_nl.data(), 32, out.data());
  EXPECT_EQ(out[15], 0.5F * 113);
  EXPECT_EQ(out[16], 0.5F * -127);
}

TEST(blocks, a_super_block_by_hand) {
  std::vector<uint8_t> q4_k(144);
  q4_k[1] = 0x3c, q4_k[3] = 0x38;       // d = 1, dmin = 0.5
  q4_k[4 + 1] = 0xc3, q4_k[4 + 5] = 7;  // scale 1 = 3, min 1 = 7; two high bits of scale 5
  q4_k[4 + 9] = 0x2d;                   // scale 5 = 13 + 48, min 5 = 2
  q4_k[16 + 4] = 0x50;                  // value 36 has code 5
  q4_k[16 + 64 + 31] = 0xf0;            // value 191 has code 15
  std::vector<float> out(256);
  dequantize_blocks(FileType::kQ4_K, q4_k.data(), 256, out.data());
  EXPECT_EQ(out[36], 3.0F * 5 - 0.5F * 7);
  EXPECT_EQ(out[37], -0.5F * 7);
  EXPECT_EQ(out[191], 61.0F * 15 - 0.5F * 2);
  EXPECT_EQ(out[0], 0);

  std::vector<uint8_t> q6_k(210);
  q6_k[209] = 0x38;                             // d = 0.5, at the end
  q6_k[192 + 7] = 0xfe;                         // scale 7 = -2: values 112 … 127
  q6_k[32 + 31] = 0xa0, q6_k[128 + 31] = 0xc0;  // value 127: 10 | 3 << 4 = 58
  dequantize_blocks(FileType::kQ6_K, q6_k.data(), 256, out.data());
  EXPECT_EQ(out[127], 0.5F * -2 * (58 - 32));
  EXPECT_EQ(out[112], 0.5F * -2 * -32);
  EXPECT_EQ(out[111], 0);
}

TEST(blocks, every_type_follows_its_formula_bit_for_bit) {
  constexpr int kBlocks = 64;
  for (const FileType type : kAll) {
    const std::vector<uint8_t> bytes = random_blocks(type, kBlocks, 7);
    const auto values = static_cast<int>(block_values(type));
    std::vector<float> out(static_cast<size_t>(values * kBlocks));
    dequantize_blocks(type, bytes.data(), values * kBlocks, out.data());
    int wrong = 0;
    for (int n = 0; n < kBlocks; ++n)
      for (int i = 0; i < values; ++i)
        wrong += same_bits(out[static_cast<size_t>(n * values + i)],
                           by_formula(type, bytes.data() + n * block_bytes(type), i))
                     ? 0
                     : 1;
    EXPECT_EQ(wrong, 0) << to_string(type);
  }
}

TEST(blocks, the_neutral_form_gives_the_same_values_bit_for_bit) {
  constexpr int64_t kCols = 1024;
  for (const FileType type : kAll) {
    const QuantLayout layout = block_layout(type);
    const std::vector<uint8_t> bytes = random_blocks(type, static_cast<int>(kCols / block_values(type)), 11);
    std::vector<float> expected(kCols);
    dequantize_blocks(type, bytes.data(), kCols, expected.data());

    const auto groups = static_cast<size_t>(kCols / layout.group);
    const bool super = layout.scale == QuantLayout::Scale::kSuper;
    std::vector<uint8_t> codes(kCols), sub_mins(groups);
    std::vector<int8_t> sub_scales(groups);
    std::vector<uint16_t> scales(groups), mins(groups), super_scales(kCols / kSuperBlock),
        super_mins(super_scales);
    QuantRow row{codes.data(), scales.data(), mins.data(), super_scales.data(), super_mins.data()};
    if (super) row.scales = sub_scales.data(), row.mins = sub_mins.data();
    read_block_row(type, bytes.data(), kCols, row);
    int wrong = 0;
    for (size_t k = 0; k < kCols; ++k) {
      const size_t g = k / static_cast<size_t>(layout.group), s = k / kSuperBlock;
      ASSERT_LT(codes[k], 1 << layout.bits);
      const float scale =
          super ? f16_to_f32(super_scales[s]) * static_cast<float>(sub_scales[g]) : f16_to_f32(scales[g]);
      float value = scale * static_cast<float>(layout.table ? kIq4Values[codes[k]] : codes[k] - layout.zero);
      if (layout.has_min)
        value += super ? -f16_to_f32(super_mins[s]) * static_cast<float>(sub_mins[g]) : f16_to_f32(mins[g]);
      wrong += same_bits(value, expected[k]) ? 0 : 1;
    }
    EXPECT_EQ(wrong, 0) << to_string(type);
  }
}

TEST(blocks, layouts_are_what_the_backends_expect) {
  using Scale = QuantLayout::Scale;
  EXPECT_EQ(block_layout(FileType::kQ4_0), (QuantLayout{4, 32, 8, Scale::kF16, false, false}));
  EXPECT_EQ(block_layout(FileType::kQ8_0), (QuantLayout{8, 32, 128, Scale::kF16, false, false}));
  EXPECT_EQ(block_layout(FileType::kQ5_0), (QuantLayout{5, 32, 16, Scale::kF16, false, false}));
  EXPECT_EQ(block_layout(FileType::kQ5_1), (QuantLayout{5, 32, 0, Scale::kF16, true, false}));
  EXPECT_EQ(block_layout(FileType::kQ4_K), (QuantLayout{4, 32, 0, Scale::kSuper, true, false}));
  EXPECT_EQ(block_layout(FileType::kQ5_K), (QuantLayout{5, 32, 0, Scale::kSuper, true, false}));
  EXPECT_EQ(block_layout(FileType::kQ6_K), (QuantLayout{6, 16, 32, Scale::kSuper, false, false}));
  EXPECT_EQ(block_layout(FileType::kIQ4_NL), (QuantLayout{4, 32, 0, Scale::kF16, false, true}));
}

}  // namespace
}  // namespace tessera
