// AVX-512 (F, BW, DQ, VL, VNNI): 16 lanes. Everything after the pragma may use these instructions; nothing of
// the standard library is instantiated there that other files also instantiate, or the linker could pick this
// copy for them.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,prefer-vector-width=512")
#endif

namespace tessera::cpu {
namespace avx512 {
namespace {

constexpr const char* kIsaName = "avx512";
constexpr int kLanes = 16, kGemmRows = 8, kGemmPanels = 3, kQueryRows = 8;
using Vec = float __attribute__((vector_size(64)));
inline Vec splat(float v) {
  return _mm512_set1_ps(v);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}

#include "backend/cpu/kernels.inc"

constexpr int kQuantRows = 6, kQuantPanels = 2, kDirectRows = 12, kWideBias = 0;
// GCC 12 warns of its own undefined operands in the plain forms of some intrinsics: hence full masks.
template <bool kWide>
inline IVec dot4(IVec acc, IVec w, IVec x) {
  return reinterpret_cast<IVec>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(x)));
}
inline IVec lookup16(IVec nibbles) {
  const __m512i table =
      _mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Bytes)));
  return reinterpret_cast<IVec>(_mm512_shuffle_epi8(table, reinterpret_cast<__m512i>(nibbles)));
}
template <bool kSigned>
inline IVec widen_bytes(const uint8_t* from) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return reinterpret_cast<IVec>(kSigned ? _mm512_maskz_cvtepi8_epi32(0xffff, bytes)
                                        : _mm512_maskz_cvtepu8_epi32(0xffff, bytes));
}
inline void widen_f16(const uint16_t* from, float* to) {
  _mm512_storeu_ps(to,
                   _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
}
#include "backend/cpu/quant_kernels.inc"

}  // namespace
}  // namespace avx512

const Kernels& avx512_kernels() {
  return avx512::kKernels;
}

}  // namespace tessera::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
const tessera::cpu::Kernels& tessera::cpu::avx512_kernels() {
  return portable_kernels();
}
#endif
