// NEON with the dot product extension (SDOT, Armv8.2): 4 lanes, 32 registers. Everything after the pragma may
// use these instructions; see kernels_avx2.cc.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace tessera::cpu {
namespace neon {
namespace {

constexpr const char* kIsaName = "neon";
// 5 rows of a panel are 20 sums, 8 opened weights and an input: 29 of the 32 registers.
constexpr int kLanes = 4, kGemmRows = 5, kGemmPanels = 1, kQueryRows = 4;
using Vec = float __attribute__((vector_size(16)));
inline Vec splat(float v) {
  return vdupq_n_f32(v);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return vfmaq_f32(c, a, b);
}

#include "backend/cpu/vector.inc"
#include "backend/cpu/kernels.inc"

// SDOT takes signed bytes: wide codes lose a bias of 128. 3 rows: 12 sums of bytes, 12 of floats, 4 of codes.
constexpr int kQuantRows = 3, kQuantPanels = 1, kDirectRows = 8, kDirectGroup = 4, kWideBias = 128;
template <bool kWide>
inline IVec dot4(IVec acc, IVec w, IVec x) {
  if constexpr (kWide) w ^= static_cast<int32_t>(0x80808080U);
  return vdotq_s32(acc, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
}
inline IVec lookup16(IVec nibbles) {
  return vreinterpretq_s32_u8(vqtbl1q_u8(vld1q_u8(kIq4Bytes), vreinterpretq_u8_s32(nibbles)));
}
template <bool kSigned>
inline IVec widen_bytes(const uint8_t* from) {
  uint32_t bytes;
  __builtin_memcpy(&bytes, from, 4);
  const uint8x8_t small = vreinterpret_u8_u32(vdup_n_u32(bytes));
  if constexpr (kSigned) return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(small))));
  return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(small))));
}
inline void widen_f16(const uint16_t* from, float* to) {
  for (int i = 0; i < 16; i += 4) vst1q_f32(to + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
}
#include "backend/cpu/quant_kernels.inc"

}  // namespace
}  // namespace neon

const Kernels& neon_kernels() {
  return neon::kKernels;
}

}  // namespace tessera::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
const tessera::cpu::Kernels& tessera::cpu::neon_kernels() {
  return portable_kernels();
}
#endif
