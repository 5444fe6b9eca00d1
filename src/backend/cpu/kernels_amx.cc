// AMX beside AVX-512: products of many rows on the tile unit, everything else as AVX-512 does it. Quantised
// products have the bits of the AVX-512 kernels; bfloat16 weights are multiplied on the unit for any number
// of rows, so that a row's bits do not depend on how many there are.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "backend/cpu/amx.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,prefer-vector-width=512")
#endif

namespace tessera::cpu {
namespace amx {
namespace {

#include "backend/cpu/avx512.inc"
#include "backend/cpu/quant_codes.inc"
#include "backend/cpu/tile_products.inc"
#include "backend/cpu/tile_unit.inc"

void gemm(const GemmArgs& a) {
  if (a.terms != nullptr)
    tile_gemm_bf16<AmxUnit>(a);
  else
    avx512_kernels().gemm(a);
}

// Measured on one thread: 24 rows 0.9 times as fast as vectors, 32 rows 1.0 to 1.06, 128 rows 1.2. Rows come
// in sixteens.
bool worth_tiles(int64_t rows) {
  const int64_t idle = (rows + kTileRows - 1) / kTileRows * kTileRows - rows;
  return rows >= 2 * kTileRows && idle * 8 <= rows;
}

void quant_gemm(const QuantGemmArgs& a) {
  if (!worth_tiles(a.rows) || !tile_product<AmxUnit>(a)) avx512_kernels().quant_gemm(a);
}

}  // namespace
}  // namespace amx
}  // namespace tessera::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace tessera::cpu {

const Kernels& amx_kernels() {
  static const Kernels kernels = [] {
    Kernels k = avx512_kernels();
    k.name = "amx";
    k.gemm = amx::gemm;
    k.quant_gemm = amx::quant_gemm;
    k.split_row = amx::split_row;
    return k;
  }();
  return kernels;
}

bool amx_allowed() {
  static const bool allowed = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    // Leaf 7, EDX: bfloat16 (22), tiles (24), bytes (25). GCC 12 has names for them, clang 14 has not.
    constexpr unsigned kAll = 1U << 22 | 1U << 24 | 1U << 25;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAll) != kAll) return false;
    // Linux grants the tiles' 8 KiB of state (feature 18) to a process that asks: ARCH_REQ_XCOMP_PERM.
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  }();
  return allowed;
}

}  // namespace tessera::cpu

#else
const tessera::cpu::Kernels& tessera::cpu::amx_kernels() {
  return portable_kernels();
}
bool tessera::cpu::amx_allowed() {
  return false;
}
#endif
