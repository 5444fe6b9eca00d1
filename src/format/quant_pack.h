#pragma once
// Codes and scales → MLX's packed rows and GGUF's simple blocks. The other direction is in affine.h and
// blocks.h.
#include <cstdint>

#include "format/tensor_file.h"

namespace tessera {

/// Codes below 2^bits as a little-endian bit stream: cols * bits / 8 bytes. cols: a multiple of 8.
void pack_codes(const uint8_t* codes, int64_t cols, int bits, uint8_t* out);

/// One row, quantised by MLX's rule: the edge of larger magnitude and zero are exact up to the rounding of
/// scale and bias, which are bfloat16. `codes`: [cols], `scales`, `biases`: [cols / group] bfloat16 bits.
/// Values that are not finite become 0. bits: 2 … 8.
void quantize_affine_row(const float* from, int64_t cols, int bits, int group, uint8_t* codes,
                         uint16_t* scales, uint16_t* biases);

/// Blocks of 32 from codes as the format numbers them (Q8_0: q + 128), `d` and, for Q4_1 and Q5_1, `m` as
/// float16 bits of each block. type: Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1.
void pack_blocks(FileType type, const uint8_t* codes, const uint16_t* d, const uint16_t* m, int64_t blocks,
                 uint8_t* out);

}  // namespace tessera
