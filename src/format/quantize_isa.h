#pragma once
// quantize_blocks by instruction set; all give the same bytes.
#include <cstdint>

#include "format/tensor_file.h"

namespace tessera {

enum class QuantizeIsa { kPortable, kAvx2, kAvx512 };

/// False when this CPU or build has no such instructions. `type`: Q8_0, Q4_0, Q4_K or Q6_K.
bool quantize_blocks_on(QuantizeIsa isa, FileType type, const float* from, int64_t values, uint8_t* out);

}  // namespace tessera
