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

TEST(affine, the_neutral_form_gives_the_same_values_bit_for_bit) {
  constexpr int64_t kRows = 3, kCols = 256;
  for (const int bits : {2, 3, 4, 5, 6, 8})
    for (const int group : {32, 64, 128})
      for (const auto& [scale_type, bias_type] : {std::pair{FileType::kBF16, FileType::kBF16},
                                                  {FileType::kF16, FileType::kF16},
                                                  {FileType::kF32, FileType::kF32},
                                                  {FileType::kBF16, FileType::kF32}}) {
        std::mt19937 random(static_cast<uint32_t>(bits * group));
        std::vector<uint32_t> codes(kRows * kCols);
        for (uint32_t& code : codes) code = random() & ((1U << bits) - 1);
        std::vector<float> scale_values(kRows * kCols / static_cast<size_t>(group)),
            bias_values(scale_values);
        for (float& v : scale_values) v = std::ldexp(1.0F, static_cast<int>(random() % 7) - 6);
        for (float& v : bias_values) v = -std::ldexp(1.0F, static_cast<int>(random() % 7) - 3);
        const Owned weight = make("w", FileType::kU32, {kRows, kCols * bits / 32}, pack(codes, bits, kCols));
        const Owned scales =
            make("s", scale_type, {kRows, kCols / group}, to_bytes(scale_type, scale_values));
        const Owned biases = make("b", bias_type, {kRows, kCols / group}, to_bytes(bias_type, bias_values));

        const QuantLayout layout = affine_layout(bits, group, scale_type, bias_type);
        EXPECT_EQ(layout.bits, std::max(bits, 4));
        EXPECT_EQ(layout.group, group);
        EXPECT_TRUE(layout.has_min && layout.zero == 0 && !layout.table);
        std::vector<float> expected(kCols);
        std::vector<uint8_t> found_codes(kCols);
        std::vector<uint32_t> found_scales(kCols / 32), found_mins(kCols / 32);  // room for the widest
        const auto value = [&](const std::vector<uint32_t>& from, size_t g) {
          uint16_t half = 0;
          std::memcpy(&half, reinterpret_cast<const char*>(from.data()) + 2 * g, 2);
          return layout.scale == QuantLayout::Scale::kF32   ? std::bit_cast<float>(from[g])
                 : layout.scale == QuantLayout::Scale::kF16 ? f16_to_f32(half)
                                                            : bf16_to_f32(half);
        };
        for (int64_t r = 0; r < kRows; ++r) {
          dequantize_affine(weight.tensor, scales.tensor, biases.tensor, bits, group, kRows, kCols, r, 1,
                            expected.data());
          read_affine_row(weight.tensor, scales.tensor, biases.tensor, bits, group, kCols, r,
                          {found_codes.data(), found_scales.data(), found_mins.data()});
          for (size_t k = 0; k < kCols; ++k) {
            const size_t g = k / static_cast<size_t>(group);
            ASSERT_EQ(value(found_scales, g) * static_cast<float>(found_codes[k]) + value(found_mins, g),
                      expected[k])
                << bits << " bits, group " << group << ", row " << r << ", column " << k;
          }
        }
      }
}

TEST(affine, rows_of_another_order_are_put_right) {
  // Two rows of two pixels, stored channel by channel.
  Owned t = make("p", FileType::kF32, {2, 6},
                 to_bytes(FileType::kF32, {0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121}));
  t.tensor.order = StoredOrder::kChannelsFirst;
  std::vector<float> out(6);
  read_rows_f32(t.tensor, 1, 1, out.data());
  EXPECT_EQ(out, (std::vector<float>{100, 110, 120, 101, 111, 121}));
  // [2][3][2], published as [3][2][2]: a row is x's values, then y's.
  t = make("q", FileType::kF32, {3, 2, 2}, to_bytes(FileType::kF32, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  t.tensor.order = StoredOrder::kAxesFirst;
  out.resize(8);
  read_rows_f32(t.tensor, 1, 2, out.data());
  EXPECT_EQ(out, (std::vector<float>{3, 4, 9, 10, 5, 6, 11, 12}));
}

}  // namespace
}  // namespace tessera
