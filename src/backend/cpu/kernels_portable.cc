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
constexpr int kLanes = 4, kGemmRows = 2, kGemmPanels = 1, kQueryRows = 4;
using Vec = float __attribute__((vector_size(16)));
inline Vec fma(Vec a, Vec b, Vec c) {
  return a * b + c;
}

#include "backend/cpu/kernels.inc"

}  // namespace
}  // namespace portable

const Kernels& portable_kernels() {
  return portable::kTable;
}

}  // namespace tessera::cpu
