// AVX2 with FMA: 8 lanes, 16 registers: smaller tiles. Everything after the pragma may use these
// instructions; nothing of the standard library is instantiated there that other files also instantiate, or
// the linker could pick this copy for them.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace tessera::cpu {
namespace avx2 {
namespace {

constexpr const char* kIsaName = "avx2";
constexpr bool kVnni = false;
[[maybe_unused]] inline __m256i dot4_vnni(__m256i acc, __m256i, __m256i) {
  return acc;
}
#include "backend/cpu/avx2.inc"

}  // namespace
}  // namespace avx2

const Kernels& avx2_kernels() {
  return avx2::kKernels;
}

}  // namespace tessera::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
const tessera::cpu::Kernels& tessera::cpu::avx2_kernels() {
  return portable_kernels();
}
#endif
