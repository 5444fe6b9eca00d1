#include "format/affine.h"

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"
#include "format/blocks.h"
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

/// One row's codes. Eight codes of any width are `bits` whole bytes of the row's little-endian bit stream.
template <int bits>
void unpack_codes(const uint8_t* packed, int64_t cols, uint8_t* codes) {
  constexpr uint64_t kMask = (uint64_t{1} << bits) - 1;
  for (int64_t i = 0; i < cols; i += 8, packed += bits, codes += 8) {
    uint64_t eight = 0;
    std::memcpy(&eight, packed, bits);
    for (int k = 0; k < 8; ++k) codes[k] = static_cast<uint8_t>((eight >> (k * bits)) & kMask);
  }
}

using UnpackCodes = void (*)(const uint8_t*, int64_t, uint8_t*);

UnpackCodes unpack_codes_of(int bits) {
  switch (bits) {
    case 2:
      return unpack_codes<2>;
    case 3:
      return unpack_codes<3>;
    case 4:
      return unpack_codes<4>;
    case 5:
      return unpack_codes<5>;
    case 6:
      return unpack_codes<6>;
    case 8:
      return unpack_codes<8>;
    default:
      return nullptr;
  }
}

/// One row as the file has it.
void read_stored_row(const FileTensor& tensor, int64_t row, int64_t cols, float* out) {
  if (is_block_type(tensor.type))
    dequantize_blocks(tensor.type, tensor.bytes.data() + row * row_bytes(tensor.type, cols), cols, out);
  else
    convert(tensor.type, tensor.bytes.data() + row * cols * type_bytes(tensor.type), cols, out);
}

/// [channel][pixel] → [pixel][channel], three channels.
void channels_last(const std::vector<float>& from, float* out) {
  const size_t pixels = from.size() / 3;
  for (size_t pixel = 0; pixel < pixels; ++pixel)
    for (size_t c = 0; c < 3; ++c) out[pixel * 3 + c] = from[c * pixels + pixel];
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
  if (!is_float(tensor.type) && !is_block_type(tensor.type))
    throw_error(ErrorKind::kBadModel, "{}: {} has type {}, expected BF16, F16 or F32, or blocks of GGUF",
                tensor.file, printable(tensor.name), to_string(tensor.type));
  const int64_t rows = row_count_of(tensor);
  TS_CHECK(first_row >= 0 && row_count >= 0 && row_count <= rows - first_row, "rows {} + {} of {}", first_row,
           row_count, rows);
  if (rows == 0 || row_count == 0) return;
  const int64_t cols = tensor.elements() / rows;
  std::vector<float> stored(static_cast<size_t>(tensor.order == StoredOrder::kChannelsFirst ? cols : 0));
  for (int64_t r = first_row; r < first_row + row_count; ++r, out += cols) {
    switch (tensor.order) {
      case StoredOrder::kAsPublished:
        read_stored_row(tensor, r, cols, out);
        break;
      case StoredOrder::kChannelsFirst:
        read_stored_row(tensor, r, cols, stored.data());
        channels_last(stored, out);
        break;
      case StoredOrder::kAxesFirst:
        read_stored_row(tensor, r, cols / 2, out);
        read_stored_row(tensor, rows + r, cols / 2, out + cols / 2);
        break;
    }
  }
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
  if (unpack_codes_of(bits) == nullptr || (group != 32 && group != 64 && group != 128))
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
  const int64_t groups = in_cols / group;
  std::vector<float> scale(static_cast<size_t>(groups)), bias(static_cast<size_t>(groups));
  std::vector<uint8_t> codes(static_cast<size_t>(in_cols));
  for (int64_t r = first_row; r < first_row + row_count; ++r) {
    read_rows_f32(scales, r, 1, scale.data());
    read_rows_f32(biases, r, 1, bias.data());
    unpack_codes_of(bits)(weight_u32.bytes.data() + r * (in_cols * bits / 8), in_cols, codes.data());
    const uint8_t* code = codes.data();
    for (size_t g = 0; g < static_cast<size_t>(groups); ++g)
      for (int j = 0; j < group; ++j) *out++ = scale[g] * static_cast<float>(*code++) + bias[g];
  }
}

QuantLayout affine_layout(int bits, int group, FileType scales, FileType biases) {
  using Scale = QuantLayout::Scale;
  const Scale kept = scales == FileType::kBF16  ? Scale::kBF16
                     : scales == FileType::kF16 ? Scale::kF16
                                                : Scale::kF32;
  return {.bits = std::max(bits, 4),
          .group = group,
          .zero = 0,
          .scale = scales == biases ? kept : Scale::kF32,
          .has_min = true,
          .table = false};
}

void read_affine_row(const FileTensor& weight_u32, const FileTensor& scales, const FileTensor& biases,
                     int bits, int group, int64_t in_cols, int64_t row, const QuantRow& out) {
  unpack_codes_of(bits)(weight_u32.bytes.data() + row * (in_cols * bits / 8), in_cols, out.codes);
  const bool widen = scales.type != biases.type;
  for (const auto& [from, to] : {std::pair{&scales, out.scales}, {&biases, out.mins}}) {
    if (widen) {
      read_rows_f32(*from, row, 1, static_cast<float*>(to));
      continue;
    }
    const int64_t bytes = in_cols / group * type_bytes(from->type);
    std::memcpy(to, from->bytes.data() + row * bytes, static_cast<size_t>(bytes));
  }
}

}  // namespace tessera
