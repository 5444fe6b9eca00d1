// Packed rows and blocks, read back by the readers of affine.h and blocks.h.
#include "format/quant_pack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/dtype.h"
#include "format/affine.h"
#include "format/blocks.h"

namespace tessera {
namespace {

FileTensor tensor_of(FileType type, std::vector<int64_t> shape, const void* data, size_t bytes) {
  FileTensor t;
  t.name = "x";
  t.type = type;
  t.shape = std::move(shape);
  t.bytes = {static_cast<const uint8_t*>(data), bytes};
  return t;
}

struct Affine {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> scales, biases;
  std::vector<float> values;  // as the reader opens it
};

Affine quantised(const std::vector<float>& x, int bits, int group) {
  const auto cols = static_cast<int64_t>(x.size());
  Affine a;
  a.codes.resize(x.size());
  a.scales.resize(x.size() / static_cast<size_t>(group));
  a.biases.resize(a.scales.size());
  quantize_affine_row(x.data(), cols, bits, group, a.codes.data(), a.scales.data(), a.biases.data());
  std::vector<uint8_t> packed(static_cast<size_t>(cols * bits / 8));
  pack_codes(a.codes.data(), cols, bits, packed.data());
  a.values.resize(x.size());
  const int64_t groups = cols / group;
  dequantize_affine(tensor_of(FileType::kU32, {1, cols * bits / 32}, packed.data(), packed.size()),
                    tensor_of(FileType::kBF16, {1, groups}, a.scales.data(), a.scales.size() * 2),
                    tensor_of(FileType::kBF16, {1, groups}, a.biases.data(), a.biases.size() * 2), bits,
                    group, 1, cols, 0, 1, a.values.data());
  return a;
}

TEST(quant_pack, affine_codes_are_the_nearest) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> x(1024);
  for (float& v : x) v = bf16_to_f32(f32_to_bf16(normal(random)));
  for (const int bits : {2, 3, 4, 5, 6, 8})
    for (const int group : {32, 64, 128}) {
      const Affine a = quantised(x, bits, group);
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t g = i / static_cast<size_t>(group);
        const float scale = std::abs(bf16_to_f32(a.scales[g]));
        const int top = (1 << bits) - 1;
        // MLX's rule moves the scale so that zero has a code, which takes up to one step off the far edge;
        // bfloat16 takes up to 2^-8 of the range.
        const bool edge = a.codes[i] == 0 || a.codes[i] == top;
        const float slack = edge ? scale * (1.1F + static_cast<float>(top) / 128) : 0;
        EXPECT_LE(std::abs(a.values[i] - x[i]), scale * 0.51F + slack) << bits << " bits, " << group;
      }
    }
}

TEST(quant_pack, the_larger_edge_and_zero_are_exact) {
  std::vector<float> x(32);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / 16 - 1.5F;
  x[7] = 0;
  const Affine a = quantised(x, 4, 32);
  EXPECT_EQ(a.values[0], -1.5F);
  EXPECT_NEAR(a.values[7], 0, 0.01F);
}

TEST(quant_pack, odd_groups) {
  for (const int bits : {4, 8}) {
    for (const float v : quantised(std::vector<float>(64), bits, 32).values) EXPECT_EQ(v, 0);
    for (const float v : quantised(std::vector<float>(64, 0.75F), bits, 32).values)
      EXPECT_NEAR(v, 0.75F, 0.01F);
    for (const float v : quantised(std::vector<float>(64, -3e38F), bits, 64).values)
      EXPECT_TRUE(std::isfinite(v));
    std::vector<float> odd(64, 0.5F);
    odd[1] = std::numeric_limits<float>::quiet_NaN();
    odd[2] = std::numeric_limits<float>::infinity();
    const Affine a = quantised(odd, bits, 64);
    EXPECT_NEAR(a.values[1], 0, 0.002F);
    EXPECT_NEAR(a.values[2], 0, 0.002F);
    EXPECT_NEAR(a.values[3], 0.5F, 0.01F);
  }
}

TEST(quant_pack, blocks_come_back_as_codes_and_scales) {
  std::mt19937 random(4);
  for (const FileType type :
       {FileType::kQ8_0, FileType::kQ4_0, FileType::kQ4_1, FileType::kQ5_0, FileType::kQ5_1}) {
    const QuantLayout layout = block_layout(type);
    std::vector<uint8_t> codes(96), out(static_cast<size_t>(row_bytes(type, 96))), back(96);
    std::vector<uint16_t> d(3), m(3), d_back(3), m_back(3);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random() & ((1U << layout.bits) - 1));
    for (uint16_t& half : d) half = static_cast<uint16_t>(random() & 0x3fff);
    for (uint16_t& half : m) half = static_cast<uint16_t>(random() & 0x3fff);
    pack_blocks(type, codes.data(), d.data(), m.data(), 3, out.data());
    read_block_row(type, out.data(), 96, {back.data(), d_back.data(), m_back.data(), nullptr, nullptr});
    EXPECT_EQ(back, codes) << to_string(type);
    EXPECT_EQ(d_back, d) << to_string(type);
    if (layout.has_min) {
      EXPECT_EQ(m_back, m) << to_string(type);
    }
  }
}

}  // namespace
}  // namespace tessera
