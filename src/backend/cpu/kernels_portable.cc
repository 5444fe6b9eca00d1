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
inline Vec splat(float v) {
  return Vec{v, v, v, v};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return a * b + c;
}

#include "backend/cpu/kernels.inc"

constexpr int kQuantRows = 2, kQuantPanels = 1, kDirectRows = 4, kWideBias = 0;
template <bool kWide>
inline IVec dot4(IVec acc, IVec w, IVec x) {
  for (int byte = 0; byte < 4; ++byte) acc += (shift_right(w, 8 * byte) & 255) * (x << (24 - 8 * byte) >> 24);
  return acc;
}
inline IVec lookup16(IVec nibbles) {
  uint8_t bytes[sizeof(IVec)];
  __builtin_memcpy(bytes, &nibbles, sizeof bytes);
  for (uint8_t& b : bytes) b = kIq4Bytes[b];
  __builtin_memcpy(&nibbles, bytes, sizeof bytes);
  return nibbles;
}
template <bool kSigned>
inline IVec widen_bytes(const uint8_t* from) {
  IVec out;
  for (int i = 0; i < kLanes; ++i) out[i] = kSigned ? static_cast<int8_t>(from[i]) : from[i];
  return out;
}
inline void widen_f16(const uint16_t* from, float* to) {
  for (int i = 0; i < 16; ++i) to[i] = f16_to_f32(from[i]);
}

#include "backend/cpu/quant_kernels.inc"

}  // namespace
}  // namespace portable

const Kernels& portable_kernels() {
  return portable::kKernels;
}

}  // namespace tessera::cpu
