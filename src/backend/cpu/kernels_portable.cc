// Portable C++ for every CPU: 4 lanes, which compilers map to SSE2 or NEON. Multiply and add round
// separately.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

namespace tessera::cpu {
namespace portable {
namespace {

constexpr const char* kIsaName = "portable";
#include "backend/cpu/portable.inc"
#include "backend/cpu/kernels.inc"
#include "backend/cpu/quant_kernels.inc"

}  // namespace
}  // namespace portable

const Kernels& portable_kernels() {
  return portable::kKernels;
}

}  // namespace tessera::cpu
