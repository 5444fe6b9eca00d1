// AVX-512 (F, BW, DQ, VL): 16 lanes. Everything after the pragma may use these instructions; nothing of the
// standard library is instantiated there that other files also instantiate, or the linker could pick this
// copy for them.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")
#endif

namespace tessera::cpu {
namespace avx512 {
namespace {

constexpr const char* kIsaName = "avx512";
constexpr int kLanes = 16, kGemmRows = 8, kGemmPanels = 3, kQueryRows = 8;
using Vec = float __attribute__((vector_size(64)));
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}

#include "backend/cpu/kernels.inc"

}  // namespace
}  // namespace avx512

const Kernels& avx512_kernels() {
  return avx512::kTable;
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
