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
#include "backend/cpu/avx512.inc"
#include "backend/cpu/kernels.inc"
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
