// AVX2 with AVX-VNNI (client processors without AVX-512): the AVX2 kernels with one instruction for four byte
// products. Everything after the pragma may use these instructions; see kernels_avx2.cc.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avxvnni")
#endif

namespace tessera::cpu {
namespace avxvnni {
namespace {

constexpr const char* kIsaName = "avxvnni";
constexpr bool kVnni = true;
inline __m256i dot4_vnni(__m256i acc, __m256i w, __m256i x) {
  return _mm256_dpbusd_avx_epi32(acc, w, x);
}
#include "backend/cpu/avx2.inc"

}  // namespace
}  // namespace avxvnni

const Kernels& avxvnni_kernels() {
  return avxvnni::kKernels;
}

}  // namespace tessera::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
const tessera::cpu::Kernels& tessera::cpu::avxvnni_kernels() {
  return portable_kernels();
}
#endif
