#include "engine/exact_forms.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "format/affine.h"
#include "format/blocks.h"
#include "format/quant_pack.h"

namespace tessera {
namespace {

using Scale = QuantLayout::Scale;

bool is_f16(float v) {
  return f16_to_f32(f32_to_f16(v)) == v;
}  // false for infinity's neighbours and no number

/// One row in the neutral form, with memory of its own, and its scales and offsets as float32.
class Row {
 public:
  explicit Row(const SourceTensor& source)
      : source_(source), layout_(*source.layout()), cols_(static_cast<size_t>(source.cols())) {
    codes.resize(cols_);
    scales.resize(cols_ / static_cast<size_t>(layout_.group));
    mins.resize(scales.size());
    raw_scales_.resize(scales.size());
    raw_mins_.resize(scales.size());
    super_scales_.resize(cols_ / kSuperBlock + 1);
    super_mins_.resize(super_scales_.size());
  }

  void read(int64_t row) {
    source_.read_quant(
        row, {codes.data(), raw_scales_.data(), raw_mins_.data(), super_scales_.data(), super_mins_.data()});
    for (size_t g = 0; g < scales.size(); ++g) {
      const size_t super = g * static_cast<size_t>(layout_.group) / kSuperBlock;
      scales[g] = value(raw_scales_, g, super_scales_[super], true);
      mins[g] = layout_.has_min ? value(raw_mins_, g, super_mins_[super], false)
                                : -static_cast<float>(layout_.zero) * scales[g];
    }
  }

  std::vector<uint8_t> codes;
  std::vector<float> scales, mins;  // value = scale * code + min

 private:
  float value(const std::vector<float>& raw, size_t g, uint16_t super, bool is_scale) const {
    const void* base = raw.data();
    uint16_t half = 0;
    switch (layout_.scale) {
      case Scale::kF32:
        return raw[g];
      case Scale::kSuper: {
        const auto byte = static_cast<const uint8_t*>(base)[g];
        const float sub =
            is_scale ? static_cast<float>(static_cast<int8_t>(byte)) : -static_cast<float>(byte);
        return f16_to_f32(super) * sub;
      }
      default:
        std::memcpy(&half, static_cast<const uint8_t*>(base) + 2 * g, 2);
        return layout_.scale == Scale::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
    }
  }

  const SourceTensor& source_;
  QuantLayout layout_;
  size_t cols_;
  std::vector<float> raw_scales_, raw_mins_;  // room for any of the formats
  std::vector<uint16_t> super_scales_, super_mins_;
};

/// A scale that float16 cannot hold does no harm where all codes are 0: MLX gives groups of zeros one of
/// 1e-7.
bool only_zeros(const Row& row, size_t g, size_t group) {
  return std::all_of(row.codes.begin() + static_cast<int64_t>(g * group),
                     row.codes.begin() + static_cast<int64_t>((g + 1) * group),
                     [](uint8_t c) { return c == 0; });
}

/// Calls make(row, out) for each row of `count`, `bytes` apart.
template <typename Make>
auto by_row(const SourceTensor& source, int64_t bytes, Make make) {
  return [&source, bytes, make](int64_t first, int64_t count, uint8_t* out) {
    Row row(source);
    for (int64_t r = first; r < first + count; ++r, out += bytes) {
      row.read(r);
      make(row, out);
    }
  };
}

/// A tensor of the module with its bytes as they are in the file.
OutputTensor as_stored_in_file(std::string name, const FileTensor& tensor) {
  const int64_t rows = row_count_of(tensor), bytes = static_cast<int64_t>(tensor.bytes.size()) / rows;
  return {std::move(name),
          tensor.type,
          tensor.shape,
          rows,
          tensor.elements() / rows,
          bytes,
          [&tensor, bytes](int64_t first, int64_t count, uint8_t* out) {
            std::memcpy(out, tensor.bytes.data() + first * bytes, static_cast<size_t>(count * bytes));
          }};
}

/// weight, scales and biases with these makers.
template <typename Codes, typename Scales, typename Biases>
std::vector<OutputTensor> three(const std::string& module, const AffineForm& form, const SourceTensor& source,
                                Codes codes, Scales scales, Biases biases) {
  const int64_t rows = source.rows(), cols = source.cols(), groups = cols / form.group;
  const int64_t scale_bytes = groups * type_bytes(form.scales);
  return {{module + ".weight",
           FileType::kU32,
           {rows, cols * form.bits / 32},
           rows,
           cols,
           cols * form.bits / 8,
           codes,
           &source},
          {module + ".scales", form.scales, {rows, groups}, rows, groups, scale_bytes, scales, &source},
          {module + ".biases", form.scales, {rows, groups}, rows, groups, scale_bytes, biases, &source}};
}

}  // namespace

std::optional<FileType> exact_block_type(const SourceTensor& source) {
  if (!source.is_affine() || source.bits == 6 || source.cols() % 32 != 0) return std::nullopt;
  const auto group = static_cast<size_t>(source.group);
  const int bits = std::max(source.bits, 4);
  const auto zero = static_cast<float>(1 << (bits - 1));
  bool centred = true;  // min = -zero * scale: the types without an offset
  Row row(source);
  for (int64_t r = 0; r < source.rows(); ++r) {
    row.read(r);
    for (size_t g = 0; g < row.scales.size(); ++g) {
      centred = centred && is_f16(row.scales[g]) && row.mins[g] == -zero * row.scales[g];
      const bool fits = is_f16(row.mins[g]) && (is_f16(row.scales[g]) || only_zeros(row, g, group));
      if (!centred && (bits == 8 || !fits)) return std::nullopt;
    }
  }
  if (bits == 8) return FileType::kQ8_0;
  if (bits == 5) return centred ? FileType::kQ5_0 : FileType::kQ5_1;
  return centred ? FileType::kQ4_0 : FileType::kQ4_1;
}

OutputTensor exact_blocks(std::string name, FileType type, const SourceTensor& source) {
  const int64_t blocks = source.cols() / 32, bytes = row_bytes(type, source.cols());
  const auto blocks_in_group = static_cast<size_t>(source.group / 32);
  return {std::move(name),
          type,
          source.expected.shape,
          source.rows(),
          source.cols(),
          bytes,
          by_row(source, bytes,
                 [type, blocks, blocks_in_group](const Row& row, uint8_t* out) {
                   std::vector<uint16_t> d(static_cast<size_t>(blocks)), m(d.size());
                   for (size_t n = 0; n < d.size(); ++n) {
                     const float scale = row.scales[n / blocks_in_group];
                     d[n] = is_f16(scale) ? f32_to_f16(scale) : 0;
                     m[n] = f32_to_f16(row.mins[n / blocks_in_group]);
                   }
                   pack_blocks(type, row.codes.data(), d.data(), m.data(), blocks, out);
                 }),
          &source};
}

std::optional<AffineForm> exact_affine(const SourceTensor& source) {
  if (source.is_affine()) return AffineForm{source.bits, source.group, source.scales->type};
  const auto layout = source.layout();
  if (!layout || !source.is_matrix() || layout->table || layout->group < 32) return std::nullopt;
  if (layout->scale == Scale::kSuper) return AffineForm{layout->bits, layout->group, FileType::kF32};
  Row row(source);
  for (int64_t r = 0; r < source.rows(); ++r) {  // -128 d may be beyond float16
    row.read(r);
    for (const float min : row.mins)
      if (!is_f16(min)) return AffineForm{layout->bits, layout->group, FileType::kF32};
  }
  return AffineForm{layout->bits, layout->group, FileType::kF16};
}

std::vector<OutputTensor> exact_affine_tensors(const std::string& module, const AffineForm& form,
                                               const SourceTensor& source) {
  if (source.is_affine())
    return {as_stored_in_file(module + ".weight", *source.tensor),
            as_stored_in_file(module + ".scales", *source.scales),
            as_stored_in_file(module + ".biases", *source.biases)};
  const int64_t cols = source.cols(), groups = cols / form.group,
                scale_bytes = groups * type_bytes(form.scales);
  const int bits = form.bits;
  const FileType type = form.scales;
  return three(
      module, form, source,
      by_row(source, cols * bits / 8,
             [cols, bits](const Row& row, uint8_t* out) { pack_codes(row.codes.data(), cols, bits, out); }),
      by_row(
          source, scale_bytes,
          [type, groups](const Row& row, uint8_t* out) { encode_row(type, row.scales.data(), groups, out); }),
      by_row(source, scale_bytes, [type, groups](const Row& row, uint8_t* out) {
        encode_row(type, row.mins.data(), groups, out);
      }));
}

std::vector<OutputTensor> requantized_affine_tensors(const std::string& module, int bits, int group,
                                                     const SourceTensor& source) {
  // Each of the three quantises again and keeps its part: nothing of the size of a matrix is held.
  enum class Part { kCodes, kScales, kBiases };
  const int64_t cols = source.cols();
  const auto part = [&source, bits, group, cols](Part which) {
    return [&source, bits, group, cols, which](int64_t first, int64_t count, uint8_t* out) {
      std::vector<float> values(static_cast<size_t>(cols));
      std::vector<uint8_t> codes(values.size());
      std::vector<uint16_t> scales(values.size() / static_cast<size_t>(group)), biases(scales.size());
      const size_t scale_bytes = scales.size() * 2;
      for (int64_t r = first; r < first + count; ++r) {
        source.read(r, 1, values.data());
        quantize_affine_row(values.data(), cols, bits, group, codes.data(), scales.data(), biases.data());
        if (which == Part::kCodes) {
          pack_codes(codes.data(), cols, bits, out);
          out += cols * bits / 8;
        } else {
          std::memcpy(out, which == Part::kScales ? scales.data() : biases.data(), scale_bytes);
          out += scale_bytes;
        }
      }
    };
  };
  return three(module, {bits, group, FileType::kBF16}, source, part(Part::kCodes), part(Part::kScales),
               part(Part::kBiases));
}

}  // namespace tessera
