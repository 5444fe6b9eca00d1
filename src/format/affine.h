#pragma once
// File tensors as rows: float32 from F32, F16, BF16 and GGUF's blocks; MLX's affine quantisation
// (docs/spec/formats.md §4.3) as float32 and in the neutral form.
#include <cstdint>

#include "base/quant.h"
#include "format/tensor_file.h"

namespace tessera {

/// How a tensor is cut into rows: the first dimension of two or more; a vector or a scalar is one row.
int64_t row_count_of(const FileTensor& tensor);

/// Rows [first_row, first_row + row_count) of an F32, F16, BF16 or block-quantised tensor of any alignment,
/// in the published order (FileTensor::order is undone). `out`: row_count * (elements per row) floats. Throws
/// Error(kBadModel) for other types. Pure; any thread.
void read_rows_f32(const FileTensor& tensor, int64_t first_row, int64_t row_count, float* out);

struct AffineShape {
  int bits = 0, group = 0;
};

/// What the shapes say: a module's overrides in config.json can be misspelt, its tensors cannot. 0 where a
/// shape is not a matrix; check_affine then refuses it. `in_cols`: of the logical matrix, above 0.
AffineShape affine_shape(const FileTensor& weight_u32, const FileTensor& scales, int64_t in_cols);

/// Checks one affine module against its logical shape [out_rows, in_cols]: bits in {2, 3, 4, 5, 6, 8}, group
/// in {32, 64, 128} and dividing in_cols, weight U32 [out_rows, in_cols * bits / 32], scales and biases
/// [out_rows, in_cols / group] of one of the types of read_rows_f32. Throws Error(kBadModel).
void check_affine(const FileTensor& weight_u32, const FileTensor& scales, const FileTensor& biases, int bits,
                  int group, int64_t out_rows, int64_t in_cols);

/// w = scale[group] * code + bias[group], in float32, for rows [first_row, first_row + row_count).
/// `out`: [row_count, in_cols]. Checks as check_affine. Pure; any thread.
void dequantize_affine(const FileTensor& weight_u32, const FileTensor& scales, const FileTensor& biases,
                       int bits, int group, int64_t out_rows, int64_t in_cols, int64_t first_row,
                       int64_t row_count, float* out);

/// The neutral form of a module: codes of 2 and 3 bits are handed over as 4-bit codes; scale and offset keep
/// their number format, or are float32 when the two differ. `bits` and `group`: as check_affine takes them.
QuantLayout affine_layout(int bits, int group, FileType scales, FileType biases);

/// One row of a module that check_affine accepted, in affine_layout's form. Pure; any thread.
void read_affine_row(const FileTensor& weight_u32, const FileTensor& scales, const FileTensor& biases,
                     int bits, int group, int64_t in_cols, int64_t row, const QuantRow& out);

}  // namespace tessera
