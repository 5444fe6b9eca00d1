#pragma once
// GGUF's number formats, block by block (docs/spec/formats.md §3): to float32, from float32, and to the
// neutral form.
#include <cstdint>

#include "base/quant.h"
#include "format/tensor_file.h"

namespace tessera {

/// Q4_0 … IQ4_NL: stored in blocks along the row.
bool is_block_type(FileType type);
/// Values and bytes of one block: 32 and 18 for Q4_0, 256 and 210 for Q6_K. Block types only.
int64_t block_values(FileType type);
int64_t block_bytes(FileType type);
/// Bytes of a row of `cols` values. Throws Error(kBadModel) when cols is not whole blocks.
int64_t row_bytes(FileType type, int64_t cols);

/// `values`: a multiple of block_values(type). Exactly the formulas of §3, in float32. Pure; any thread.
void dequantize_blocks(FileType type, const uint8_t* from, int64_t values, float* out);

/// Q8_0, Q4_0: the rule is exact (§3). Q4_K, Q6_K: the scales that minimise the squared error, weighted by
/// magnitude as llama.cpp does without an importance matrix. Throws Error(kBadRequest) for other types.
/// Values that are not finite become 0. Pure; any thread.
void quantize_blocks(FileType type, const float* from, int64_t values, uint8_t* out);

/// The neutral form of a block type.
QuantLayout block_layout(FileType type);
/// One row of `cols` values. Pure; any thread.
void read_block_row(FileType type, const uint8_t* from, int64_t cols, const QuantRow& out);

}  // namespace tessera
