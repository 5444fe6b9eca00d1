#pragma once
// Device code shared by the kernels over packed weights: opening 64 inputs of a tile to the A operands of
// mma.m16n8k16, their scales and mins; the activation.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "backend/cuda/matrix.h"

namespace tessera::cuda {

template <int kBits, int kGroup, QuantLayout::Scale kScale, bool kMin>
struct FormOf {
  static constexpr Form form = {kBits, kGroup, kScale, kMin};
  static constexpr int groups = 64 / kGroup;  // in 64 inputs
};

// d += A · B: A 16 outputs × 16 inputs, B 16 inputs × 8 rows of x.
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t subtract(uint32_t a, uint32_t b) {
  const __nv_bfloat162 d =
      __hsub2(reinterpret_cast<const __nv_bfloat162&>(a), reinterpret_cast<const __nv_bfloat162&>(b));
  return reinterpret_cast<const uint32_t&>(d);
}

// (v & mask) | k in one instruction: with two immediates the compiler makes two.
__device__ __forceinline__ uint32_t and_or(uint32_t v, uint32_t mask, uint32_t k) {
  uint32_t out;
  asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(out) : "r"(v), "r"(mask), "r"(k));
  return out;
}

// bfloat16 128.0 twice, in a register that the compiler does not know the value of (and_or).
__device__ __forceinline__ uint32_t pair_of_128() {
  uint32_t out;
  asm("mov.b32 %0, 0x43004300;" : "=r"(out));
  return out;
}

__device__ __forceinline__ uint32_t moved(uint32_t v, int left) {
  return left >= 0 ? v << left : v >> -left;
}

// The bits above the fourth of two blocks of 32 inputs. `plane` is any memory.
template <int kBits>
__device__ __forceinline__ void open_high(const uint8_t* plane, int part, int lane, uint32_t (&high)[2]) {
  high[0] = high[1] = 0;
  if constexpr (kBits == 5)
    high[0] = high[1] = *reinterpret_cast<const uint32_t*>(plane + lane * 16 + part * 4);
  if constexpr (kBits == 6) {
    const uint2 h = *reinterpret_cast<const uint2*>(plane + part / 2 * 512 + lane * 16 + part % 2 * 8);
    high[0] = h.x, high[1] = h.y;
  }
}

// Codes as exact bfloat16 integers: codes under 128 are or-ed into 128.0, whose last bit is 1. What comes out
// is less by `zero_pair`; codes of 8 bits come out as they are. a[block of 32][mma][register]. `chunk` is any
// memory.
template <class F>
__device__ __forceinline__ void open_codes(const uint8_t* chunk, int part, int lane, uint32_t zero_pair,
                                           uint32_t (&a)[2][2][4]) {
  constexpr Form f = F::form;
  const uint32_t k128 = pair_of_128();
  if constexpr (f.bits == 8) {
#pragma unroll
    for (int b = 0; b < 2; ++b) {
      const uint4 v = *reinterpret_cast<const uint4*>(chunk + (2 * part + b) * 512 + lane * 16);
      const uint32_t word[2][2] = {{v.x, v.z}, {v.y, v.w}};  // [half][quad]
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
          for (int p = 0; p < 2; ++p) {
            // Two's complement: 128 + low seven bits, less 128, or 256 where the sign bit is set.
            const uint32_t w = word[half][m] >> (8 * p);
            a[b][m][2 * p + half] = subtract(and_or(w, 0x007F007FU, k128), and_or(w, 0x00800080U, k128));
          }
    }
  } else {
    const uint4 v = *reinterpret_cast<const uint4*>(chunk + part * 512 + lane * 16);
    const uint32_t word[2][2] = {{v.x, v.y}, {v.z, v.w}};  // [half][quad]
    uint32_t high[2];
    open_high<f.bits>(chunk + f.high_at(), part, lane, high);
#pragma unroll
    for (int b = 0; b < 2; ++b)
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int p = 0; p < 4; ++p) {
          const int quad = p / 2, at = 2 * half + quad, byte_bit = p % 2 * 8;
          uint32_t code = and_or(word[half][quad] >> (4 * b + byte_bit), 0x000F000FU, k128);
          if constexpr (f.bits == 5)
            code = and_or(moved(high[b], 4 - (4 * b + at + byte_bit)), 0x00100010U, code);
          if constexpr (f.bits == 6)
            code = and_or(moved(high[b], 4 - (2 * at + byte_bit)), 0x00300030U, code);
          a[b][quad][p % 2 * 2 + half] = subtract(code, zero_pair);
        }
  }
}

__device__ __forceinline__ float2 half_pair(uint32_t v) {
  return __half22float2(reinterpret_cast<const __half2&>(v));
}

// 4, 8, 16 or 32 neighbouring bytes as words.
template <int kWords>
__device__ __forceinline__ void load_words(const uint8_t* from, uint32_t (&w)[kWords]) {
  if constexpr (kWords == 1) {
    w[0] = *reinterpret_cast<const uint32_t*>(from);
  } else if constexpr (kWords == 2) {
    const uint2 v = *reinterpret_cast<const uint2*>(from);
    w[0] = v.x, w[1] = v.y;
  } else {
#pragma unroll
    for (int i = 0; i < kWords; i += 4) {
      const uint4 v = *reinterpret_cast<const uint4*>(from + i * 4);
      w[i] = v.x, w[i + 1] = v.y, w[i + 2] = v.z, w[i + 3] = v.w;
    }
  }
}

// Scales (or mins: `at`) of rows g and g + 8 in 64 inputs; super: float pair of the super-block, 1 otherwise.
template <class F, int kOffset>
__device__ __forceinline__ void open_scales(const uint8_t* chunk, int at, int part, int g, float2 super,
                                            float (&s)[F::groups][2]) {
  constexpr Form f = F::form;
  constexpr int bytes = F::groups * 2 * f.scale_bytes();
  uint32_t w[bytes / 4];
  load_words<bytes / 4>(chunk + at + (g * 4 + part) * bytes, w);
#pragma unroll
  for (int i = 0; i < F::groups; ++i) {
    if constexpr (f.scale == QuantLayout::Scale::kF16) {
      const float2 v = half_pair(w[i]);
      s[i][0] = v.x, s[i][1] = v.y;
    } else if constexpr (f.scale == QuantLayout::Scale::kBF16) {
      s[i][0] = __uint_as_float(w[i] << 16), s[i][1] = __uint_as_float(w[i] & 0xFFFF0000U);
    } else if constexpr (f.scale == QuantLayout::Scale::kF32) {
      s[i][0] = __uint_as_float(w[2 * i]), s[i][1] = __uint_as_float(w[2 * i + 1]);
    } else {
      // A byte in the last bits of 2^23, whose last bit is 1; signed ones by their sign bit turned over.
      const uint32_t pair = w[i / 2] >> (16 * (i % 2));
      s[i][0] =
          (__uint_as_float((0x4B000000U | kOffset) ^ (pair & 0xFFU)) - (8388608.0F + kOffset)) * super.x;
      s[i][1] =
          (__uint_as_float((0x4B000000U | kOffset) ^ (pair >> 8 & 0xFFU)) - (8388608.0F + kOffset)) * super.y;
    }
  }
}

struct Supers {
  float2 scale = {1, 1}, min = {1, 1};  // rows g and g + 8
};

template <class F>
__device__ __forceinline__ Supers open_supers(const uint8_t* chunk, int g) {
  Supers out;
  if constexpr (F::form.super()) {
    out.scale = half_pair(*reinterpret_cast<const uint32_t*>(chunk + F::form.supers_at() + g * 4));
    if constexpr (F::form.has_min) {
      const float2 m =
          half_pair(*reinterpret_cast<const uint32_t*>(chunk + F::form.supers_at() + 32 + g * 4));
      out.min = {-m.x, -m.y};
    }
  }
  return out;
}

// Scales and mins of 64 inputs: value = scale * (opened code) + min.
template <class F>
__device__ __forceinline__ void open_groups(const uint8_t* chunk, int part, int g, const Supers& supers,
                                            float (&scale)[F::groups][2], float (&min)[F::groups][2]) {
  open_scales<F, 128>(chunk, F::form.scales_at(), part, g, supers.scale, scale);
  if constexpr (F::form.has_min) {
    open_scales<F, 0>(chunk, F::form.mins_at(), part, g, supers.min, min);
    if constexpr (F::form.bits == 8) {
#pragma unroll
      for (int i = 0; i < F::groups; ++i)
#pragma unroll
        for (int h = 0; h < 2; ++h) min[i][h] = fmaf(128.0F, scale[i][h], min[i][h]);
    }
  }
}

// The same bits in every kernel: nothing is left to contract.
__device__ __forceinline__ float gelu_tanh(float v) {
  return 0.5F * v * (1.0F + tanhf(0.7978845608028654F * fmaf(0.044715F * v * v, v, v)));
}

}  // namespace tessera::cuda
