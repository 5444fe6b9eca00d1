#include "format/affine.h"

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"
#include "format/json.h"

namespace tessera {
namespace {

bool is_float(FileType type) {
  return type == FileType::kF32 || type == FileType::kF16 || type == FileType::kBF16;
}

/// Any alignment: the bytes come from a map at an offset the file chooses.
template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// `count` values of `type` at `from`.
void convert(FileType type, const uint8_t* from, int64_t count, float* out) {
  switch (type) {
    case FileType::kF32:
      if (count > 0) std::memcpy(out, from, static_cast<size_t>(count) * 4);
      break;
    case FileType::kBF16:
      for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_f32(load<uint16_t>(from + 2 * i));
      break;
    default:
      for (int64_t i = 0; i < count; ++i) out[i] = f16_to_f32(load<uint16_t>(from + 2 * i));
  }
}

/// One row. Eight codes of any width are `bits` whole bytes of the row's little-endian bit stream.
template <int bits>
void unpack_row(const uint8_t* codes, const float* scales, const float* biases, int group, int64_t cols,
                float* out) {
  constexpr uint64_t kMask = (uint64_t{1} << bits) - 1;
  for (int64_t g = 0; g < cols / group; ++g) {
    const float scale = scales[g], bias = biases[g];
    for (int j = 0; j < group; j += 8, codes += bits, out += 8) {
      uint64_t packed = 0;
      std::memcpy(&packed, codes, bits);
      for (int k = 0; k < 8; ++k) {
        const auto code = static_cast<int32_t>((packed >> (k * bits)) & kMask);
        out[k] = scale * static_cast<float>(code) + bias;
      }
    }
  }
}

using UnpackRow = void (*)(const uint8_t*, const float*, const float*, int, int64_t, float*);

UnpackRow unpack_row_of(int bits) {
  switch (bits) {
    case 2:
      return unpack_row<2>;
    case 3:
      return unpack_row<3>;
    case 4:
      return unpack_row<4>;
    case 5:
      return unpack_row<5>;
    case 6:
      return unpack_row<6>;
    case 8:
      return unpack_row<8>;
    default:
      return nullptr;
  }
}

void check_shape(const FileTensor& tensor, int64_t rows, int64_t cols, const std::string& because) {
  if (tensor.shape != std::vector<int64_t>{rows, cols})
    throw_error(ErrorKind::kBadModel, "{}: {} is {}, expected [{}, {}] ({})", tensor.file,
                printable(tensor.name), tensor.shape_text(), rows, cols, because);
}

}  // namespace

int64_t row_count_of(const FileTensor& tensor) {
  return tensor.shape.size() >= 2 ? tensor.shape[0] : 1;
}

void read_rows_f32(const FileTensor& tensor, int64_t first_row, int64_t row_count, float* out) {
  if (!is_float(tensor.type))
    throw_error(ErrorKind::kBadModel, "{}: {} has type {}, expected BF16, F16 or F32", tensor.file,
                printable(tensor.name), to_string(tensor.type));
  const int64_t rows = row_count_of(tensor);
  TS_CHECK(first_row >= 0 && row_count >= 0 && row_count <= rows - first_row, "rows {} + {} of {}", first_row,
           row_count, rows);
  if (rows == 0 || row_count == 0) return;
  const int64_t cols = tensor.elements() / rows;
  convert(tensor.type, tensor.bytes.data() + first_row * cols * type_bytes(tensor.type), row_count * cols,
          out);
}

AffineShape affine_shape(const FileTensor& weight_u32, const FileTensor& scales, int64_t in_cols) {
  const int64_t words = weight_u32.shape.size() == 2 ? weight_u32.shape[1] : 0,
                groups = scales.shape.size() == 2 ? scales.shape[1] : 0;
  // A file's row has any length: bound it before the product. 8 bits are the widest codes.
  return {
      static_cast<int>(words > 0 && words <= in_cols ? words * 32 / in_cols : 0),
      static_cast<int>(groups > 0 && groups <= in_cols ? std::min<int64_t>(in_cols / groups, 1 << 20) : 0)};
}

void check_affine(const FileTensor& weight_u32, const FileTensor& scales, const FileTensor& biases, int bits,
                  int group, int64_t out_rows, int64_t in_cols) {
  const std::string name = printable(weight_u32.name);
  if (unpack_row_of(bits) == nullptr || (group != 32 && group != 64 && group != 128))
    throw_error(
        ErrorKind::kBadModel,
        "{}: {} is quantised with {} bits in groups of {}, expected 2, 3, 4, 5, 6 or 8 bits in groups of 32, "
        "64 or 128",
        weight_u32.file, name, bits, group);
  if (in_cols % group != 0)
    throw_error(ErrorKind::kBadModel, "{}: {} has rows of {} values, expected a multiple of the group of {}",
                weight_u32.file, name, in_cols, group);
  if (weight_u32.type != FileType::kU32)
    throw_error(ErrorKind::kBadModel, "{}: {} has type {}, expected U32 since it has scales", weight_u32.file,
                name, to_string(weight_u32.type));
  check_shape(
      weight_u32, out_rows, in_cols * bits / 32,
      fmt::format("{} x {} values of {} bits; see \"quantization\" in config.json", out_rows, in_cols, bits));
  for (const FileTensor* offsets : {&scales, &biases}) {
    if (!is_float(offsets->type))
      throw_error(ErrorKind::kBadModel, "{}: {} has type {}, expected BF16, F16 or F32", offsets->file,
                  printable(offsets->name), to_string(offsets->type));
    check_shape(*offsets, out_rows, in_cols / group, fmt::format("groups of {}", group));
  }
}

void dequantize_affine(const FileTensor& weight_u32, const FileTensor& scales, const FileTensor& biases,
                       int bits, int group, int64_t out_rows, int64_t in_cols, int64_t first_row,
                       int64_t row_count, float* out) {
  check_affine(weight_u32, scales, biases, bits, group, out_rows, in_cols);
  TS_CHECK(first_row >= 0 && row_count >= 0 && row_count <= out_rows - first_row, "rows {} + {} of {}",
           first_row, row_count, out_rows);
  const UnpackRow unpack = unpack_row_of(bits);
  const int64_t groups = in_cols / group, row_bytes = in_cols * bits / 8;
  std::vector<float> scale(static_cast<size_t>(groups)), bias(static_cast<size_t>(groups));
  for (int64_t r = first_row; r < first_row + row_count; ++r, out += in_cols) {
    read_rows_f32(scales, r, 1, scale.data());
    read_rows_f32(biases, r, 1, bias.data());
    unpack(weight_u32.bytes.data() + r * row_bytes, scale.data(), bias.data(), group, in_cols, out);
  }
}

}  // namespace tessera
