// MLX's affine quantisation and plain rows. The packer here writes bit by bit, as formats.md §4.3 words it.
#include "format/affine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "base/dtype.h"
#include "support/expect_error.h"

namespace tessera {
namespace {

/// A tensor over bytes at an odd address.
struct Owned {
  std::vector<uint8_t> storage;
  FileTensor tensor;
};

Owned make(const char* name, FileType type, std::vector<int64_t> shape, const std::vector<uint8_t>& bytes) {
  Owned owned;
  owned.storage.assign(1, 0xee);
  owned.storage.insert(owned.storage.end(), bytes.begin(), bytes.end());
  owned.tensor.name = name;
  owned.tensor.file = "q.safetensors";
  owned.tensor.type = type;
  owned.tensor.shape = std::move(shape);
  owned.tensor.bytes = std::span<const uint8_t>(owned.storage).subspan(1);
  return owned;
}

std::vector<uint8_t> to_bytes(FileType type, const std::vector<float>& values) {
  std::vector<uint8_t> bytes;
  for (const float v : values) {
    if (type == FileType::kF32) {
      const auto bits = std::bit_cast<uint32_t>(v);
      for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(bits >> (8 * i)));
    } else {
      // Halves here are small powers of two and zero: exponent 15 + e, no mantissa.
      uint16_t bits = f32_to_bf16(v);
      if (type == FileType::kF16) {
        int exponent = 0;
        const float fraction = std::frexp(v, &exponent);
        bits = v == 0 ? 0 : static_cast<uint16_t>((v < 0 ? 0x8000 : 0) | ((exponent + 14) << 10));
        EXPECT_TRUE(v == 0 || std::abs(fraction) == 0.5F) << v;
      }
      bytes.push_back(static_cast<uint8_t>(bits));
      bytes.push_back(static_cast<uint8_t>(bits >> 8));
    }
  }
  return bytes;
}

/// Code i of a row occupies bits [i*b, (i+1)*b) of the row's byte stream, low bits first.
std::vector<uint8_t> pack(const std::vector<uint32_t>& codes, int bits, int64_t cols) {
  const int64_t row_bytes = cols * bits / 8, rows = static_cast<int64_t>(codes.size()) / cols;
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes));
  for (size_t n = 0; n < codes.size(); ++n)
    for (int b = 0; b < bits; ++b)
      if ((codes[n] >> b & 1U) != 0) {
        const int64_t row = static_cast<int64_t>(n) / cols, bit = static_cast<int64_t>(n) % cols * bits + b;
        bytes[static_cast<size_t>(row * row_bytes + bit / 8)] |= static_cast<uint8_t>(1U << (bit % 8));
      }
  return bytes;
}

TEST(affine, a_word_by_hand) {
  // One row of 32 codes of 4 bits: word 0 is 0x76543210, low nibble first; the others are 0.
  std::vector<uint8_t> words(16);
  for (size_t i = 0; i < 4; ++i) words[i] = static_cast<uint8_t>(0x10 + 0x22 * i);
  const Owned weight = make("w", FileType::kU32, {1, 4}, words);
  const Owned scales = make("s", FileType::kF32, {1, 1}, to_bytes(FileType::kF32, {0.5F}));
  const Owned biases = make("b", FileType::kF32, {1, 1}, to_bytes(FileType::kF32, {-2.0F}));
  std::vector<float> out(32);
  dequantize_affine(weight.tensor, scales.tensor, biases.tensor, 4, 32, 1, 32, 0, 1, out.data());
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(out[static_cast<size_t>(i)], 0.5F * static_cast<float>(i) - 2.0F) << i;
  EXPECT_EQ(out[8], -2.0F);
}

TEST(affine, all_bits_groups_and_scale_types) {
  constexpr int64_t kRows = 3, kCols = 256;
  for (const int bits : {2, 3, 4, 5, 6, 8})
    for (const int group : {32, 64, 128})
      for (const FileType type : {FileType::kBF16, FileType::kF16, FileType::kF32}) {
        SCOPED_TRACE(fmt::format("{} bits, groups of {}, {} scales", bits, group, to_string(type)));
        const uint32_t seed = static_cast<uint32_t>(bits * 1000 + group);
        std::mt19937 random(seed);
        std::vector<uint32_t> codes(kRows * kCols);
        for (uint32_t& code : codes) code = random() & ((1U << bits) - 1);
        std::vector<float> scales(static_cast<size_t>(kRows * kCols / group)), biases(scales.size());
        for (size_t i = 0; i < scales.size(); ++i) {
          scales[i] = std::ldexp(1.0F, -static_cast<int>(random() % 8));
          biases[i] = -std::ldexp(1.0F, static_cast<int>(random() % 4));
        }
        const Owned w = make("w", FileType::kU32, {kRows, kCols * bits / 32}, pack(codes, bits, kCols));
        const Owned s = make("s", type, {kRows, kCols / group}, to_bytes(type, scales));
        const Owned b = make("b", type, {kRows, kCols / group}, to_bytes(type, biases));
        const AffineShape shape = affine_shape(w.tensor, s.tensor, kCols);
        EXPECT_EQ(shape.bits, bits);
        EXPECT_EQ(shape.group, group);
        std::vector<float> all(codes.size());
        dequantize_affine(w.tensor, s.tensor, b.tensor, bits, group, kRows, kCols, 0, kRows, all.data());
        for (size_t i = 0; i < codes.size(); ++i) {
          const size_t g = i / static_cast<size_t>(group);
          ASSERT_EQ(all[i], scales[g] * static_cast<float>(codes[i]) + biases[g])
              << "seed " << seed << " value " << i;
        }
        std::vector<float> last(kCols);  // one row alone equals that row of the whole
        dequantize_affine(w.tensor, s.tensor, b.tensor, bits, group, kRows, kCols, 2, 1, last.data());
        EXPECT_EQ(std::memcmp(last.data(), all.data() + 2 * kCols, kCols * sizeof(float)), 0);
      }
}

TEST(affine, what_does_not_fit_together_is_refused) {
  const Owned w = make("up.weight", FileType::kU32, {2, 8}, std::vector<uint8_t>(64));
  const Owned s = make("up.scales", FileType::kBF16, {2, 1}, std::vector<uint8_t>(4));
  const Owned b = make("up.biases", FileType::kBF16, {2, 1}, std::vector<uint8_t>(4));
  ASSERT_NO_THROW(check_affine(w.tensor, s.tensor, b.tensor, 4, 64, 2, 64));
  const auto refused = [&](const FileTensor& weight, const FileTensor& scales, const FileTensor& biases,
                           int bits, int group, int64_t rows, int64_t cols, const std::string& message) {
    SCOPED_TRACE(message);
    expect_error(ErrorKind::kBadModel, {"q.safetensors", message},
                 [&] { check_affine(weight, scales, biases, bits, group, rows, cols); });
  };
  for (const int bits : {-1, 0, 1, 7, 9, 64})
    refused(w.tensor, s.tensor, b.tensor, bits, 64, 2, 64, "up.weight");
  for (const int group : {-64, 0, 1, 16, 48, 256})
    refused(w.tensor, s.tensor, b.tensor, 4, group, 2, 64, "groups of");
  refused(w.tensor, s.tensor, b.tensor, 4, 64, 2, 96, "a multiple of the group");
  refused(w.tensor, s.tensor, b.tensor, 8, 64, 2, 64, "expected [2, 16]");
  refused(w.tensor, s.tensor, b.tensor, 4, 64, 3, 64, "expected [3, 8]");
  refused(w.tensor, s.tensor, b.tensor, 4, 32, 2, 64, "up.scales is [2, 1], expected [2, 2]");
  FileTensor other = w.tensor;
  other.type = FileType::kBF16;
  refused(other, s.tensor, b.tensor, 4, 64, 2, 64, "expected U32");
  other = s.tensor;
  other.type = FileType::kU8;  // mxfp4 has U8 scales
  refused(w.tensor, other, b.tensor, 4, 64, 2, 64, "up.scales has type U8");
  other = b.tensor;
  other.shape = {2};
  refused(w.tensor, s.tensor, other, 4, 64, 2, 64, "up.biases is [2]");
}

TEST(affine, a_shape_from_a_hostile_file_is_only_refused) {
  FileTensor w, s;
  for (const int64_t words : {int64_t{0}, int64_t{1}, int64_t{1} << 62}) {
    w.shape = {1, words};
    s.shape = {1, words};
    const AffineShape shape = affine_shape(w, s, 64);
    w.type = FileType::kU32;
    expect_error(ErrorKind::kBadModel, {}, [&] { check_affine(w, s, s, shape.bits, shape.group, 1, 64); });
  }
}

TEST(read_rows_f32, converts_and_cuts_rows_at_any_alignment) {
  const std::vector<float> values = {0, 1, -2, 0.5F, 8, -0.25F};
  for (const FileType type : {FileType::kF32, FileType::kBF16, FileType::kF16}) {
    const Owned matrix = make("m", type, {3, 2}, to_bytes(type, values));
    EXPECT_EQ(row_count_of(matrix.tensor), 3);
    std::vector<float> out(4);
    read_rows_f32(matrix.tensor, 1, 2, out.data());
    EXPECT_EQ(out, (std::vector<float>{-2, 0.5F, 8, -0.25F})) << to_string(type);
    const Owned vector = make("v", type, {6}, to_bytes(type, values));
    EXPECT_EQ(row_count_of(vector.tensor), 1);
    std::vector<float> whole(6);
    read_rows_f32(vector.tensor, 0, 1, whole.data());
    EXPECT_EQ(whole, values) << to_string(type);
    const Owned cube = make("c", type, {1, 2, 3}, to_bytes(type, values));
    EXPECT_EQ(row_count_of(cube.tensor), 1);
    read_rows_f32(cube.tensor, 0, 1, whole.data());
    EXPECT_EQ(whole, values) << to_string(type);
  }
}

TEST(read_rows_f32, other_types_are_refused) {
  const Owned tensor = make("ids", FileType::kI64, {1}, std::vector<uint8_t>(8));
  float out = 0;
  expect_error(ErrorKind::kBadModel, {"ids", "I64", "expected BF16, F16 or F32"},
               [&] { read_rows_f32(tensor.tensor, 0, 1, &out); });
}

}  // namespace
}  // namespace tessera
