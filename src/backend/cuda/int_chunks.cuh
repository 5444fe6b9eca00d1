#pragma once
// 256 inputs of one or two tiles of quantised weights times up to 8 rows of x, in integers: codes are the A
// operand of mma.m16n8k32 as they are, the digits of x (digits.h) B.
//
// Codes without mins enter as signed bytes times 16, 8, 4 or 1 (4, 5, 6, 8 bits), which drops their zero
// point; with mins as they are, and a min is multiplied with the digits of the sums of x. kAnyForm's enter as
// the file's unsigned ones: near -128 scale and min would nearly cancel.
#include <algorithm>

#include "backend/cuda/copies.cuh"
#include "backend/cuda/digits.cuh"
#include "backend/cuda/fragments.cuh"
#include "backend/cuda/int_ops.cuh"

namespace tessera::cuda {

inline constexpr int kSetRows = 4;  // rows of x in one product of the tensor cores
// Warps of a block by the form's bytes in a chunk, so that rings are 110 to 160 KB: x takes nothing of the
// shared memory. With 16 warps a block of o in 4 bits has one step for each.
constexpr int int_warps(int chunk_bytes) {
  return chunk_bytes < 2600 ? 16 : chunk_bytes < 5000 ? 12 : 8;
}

template <class F>
struct IntChunks {
  static constexpr Form form = F::form;
  static constexpr int bytes = form.chunk_bytes();
  static constexpr bool pairs = form.bits < 8;  // tiles of a product are computed two at once
  static constexpr int warps = int_warps(bytes), stages = pairs ? 4 : 3;
  static constexpr bool is_any = form == kAnyForm;
  static constexpr bool is_signed = !is_any && (form.bits == 8 || !form.has_min);
  static constexpr float unit = form.has_min     ? 1.0F
                                : form.bits == 8 ? 1.0F
                                : form.bits == 6 ? 0.25F
                                : form.bits == 5 ? 0.125F
                                                 : 0.0625F;  // of a code that entered
  static constexpr int half_groups = kDigitCols / form.group;
  static constexpr int float_mins = form.has_min && !form.super() ? 128 / std::min(form.group, 32) : 0;

  static __device__ __forceinline__ void fetch(uint32_t to, const uint8_t* from, int lane) {
#pragma unroll
    for (int i = 0; i < bytes / 16; i += 32)
      if (i + lane < bytes / 16) copy_16_of_stream(to + (i + lane) * 16, from + (i + lane) * 16);
  }

  // What a lane needs of 256 inputs of x: B of its column, scales and sums of its row.
  template <int kSets>
  struct Inputs {
    uint4 digits[kSets][4];
    float scale[kSets][2], sum_scale[kSets][2];
    uint32_t sum_h[kSets][2], sum_l[kSets][2];
    float sums[kSets][2][float_mins + 1];

    // column, row: of each set, of the row's first record
    __device__ __forceinline__ void load(const uint8_t* const (&column)[kSets],
                                         const uint8_t* const (&row)[kSets], int chunk) {
#pragma unroll
      for (int s = 0; s < kSets; ++s) {
#pragma unroll
        for (int p = 0; p < 4; ++p)
          digits[s][p] = *reinterpret_cast<const uint4*>(column[s] + chunk * kRecordBytes + p * 64);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const uint8_t* at = row[s] + chunk * kRecordBytes + 2 * kChunkCols + half * 64;
          if constexpr (form.super() && form.has_min) {
            const uint4 v = *reinterpret_cast<const uint4*>(at);
            scale[s][half] = __uint_as_float(v.x), sum_scale[s][half] = __uint_as_float(v.y);
            sum_h[s][half] = v.z, sum_l[s][half] = v.w;
          } else {
            scale[s][half] = *reinterpret_cast<const float*>(at);
          }
#pragma unroll
          for (int i = 0; i < float_mins; i += 4) {
            const float4 v = *reinterpret_cast<const float4*>(at + (form.group == 16 ? 32 : 16) + i * 4);
            sums[s][half][i] = v.x, sums[s][half][i + 1] = v.y;
            sums[s][half][i + 2] = v.z, sums[s][half][i + 3] = v.w;
          }
        }
      }
    }
  };

  // Codes of 64 inputs as A of mma_32: a[block of 32][2 * quad + row half].
  static __device__ __forceinline__ void open(const uint8_t* chunk, int part, int lane, uint32_t signs,
                                              uint32_t (&a)[2][4]) {
    if constexpr (form.bits == 8) {
#pragma unroll
      for (int b = 0; b < 2; ++b) {
        const uint4 v = *reinterpret_cast<const uint4*>(chunk + (2 * part + b) * 512 + lane * 16);
        const uint32_t flip = is_any ? signs : 0;
        a[b][0] = v.x ^ flip, a[b][1] = v.y ^ flip, a[b][2] = v.z ^ flip, a[b][3] = v.w ^ flip;
      }
    } else {
      const uint4 v = *reinterpret_cast<const uint4*>(chunk + part * 512 + lane * 16);
      const uint32_t word[4] = {v.x, v.y, v.z, v.w};  // [2 * (row half) + quad]
      uint32_t high[2];
      open_high<form.bits>(chunk + form.high_at(), part, lane, high);
      constexpr int kUp = is_signed ? 8 - form.bits : 0;  // places to the left
      constexpr uint32_t kLow = 0x0F0F0F0FU << kUp;
#pragma unroll
      for (int b = 0; b < 2; ++b)
#pragma unroll
        for (int at = 0; at < 4; ++at) {
          uint32_t code = moved(word[at], kUp - 4 * b);
          if constexpr (is_signed)
            code = and_xor(code, kLow, signs);
          else
            code &= kLow;
          if constexpr (form.bits == 5)
            code = and_xor(moved(high[b], 4 + kUp - (4 * b + at)), 0x10101010U << kUp, code);
          if constexpr (form.bits == 6)
            code = and_xor(moved(high[b], 4 + kUp - 2 * at), 0x30303030U << kUp, code);
          a[b][at % 2 * 2 + at / 2] = code;
        }
    }
  }

  // Scales, or mins, of the groups of 128 inputs, rows g and g + 8, as words of the chunk.
  static constexpr int half_words = half_groups * 2 * form.scale_bytes() / 4;
  static __device__ __forceinline__ void scale_words(const uint8_t* chunk, int at, int half, int g,
                                                     uint32_t (&w)[half_words]) {
    load_words<half_words>(chunk + at + (g * 2 + half) * (half_words * 4), w);
  }
  static __device__ __forceinline__ float scale_of(const uint32_t (&w)[half_words], int group, int row_half) {
    if constexpr (form.scale == QuantLayout::Scale::kF16) {
      const float2 v = half_pair(w[group]);
      return row_half == 0 ? v.x : v.y;
    } else if constexpr (form.scale == QuantLayout::Scale::kBF16) {
      return __uint_as_float(row_half == 0 ? w[group] << 16 : w[group] & 0xFFFF0000U);
    } else {
      return __uint_as_float(w[2 * group + row_half]);
    }
  }
  static __device__ __forceinline__ int whole_scale_of(const uint32_t (&w)[half_words], int group,
                                                       int row_half) {
    return signed_byte(w[group / 2], 2 * (group % 2) + row_half);
  }

  // acc[tile][set][row half]: outputs g and g + 8 of row t of the set.
  template <int kTiles, int kSets>
  static __device__ __forceinline__ void add(float (&acc)[kTiles][kSets][2],
                                             const uint8_t* const (&chunk)[kTiles], const Inputs<kSets>& x,
                                             int lane) {
    const int g = lane / 4;
    const uint32_t signs = byte_signs();
    Supers supers[kTiles];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) supers[i] = open_supers<F>(chunk[i], g);
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        uint32_t scales[half_words];
        scale_words(chunk[i], form.scales_at(), half, g, scales);
        float sum[kSets][2] = {};                     // without kSuper
        int high[kSets][2] = {}, low[kSets][2] = {};  // with kSuper: of the digits h and l
        int d[kSets][4];
        const auto end_group = [&](int group) {
#pragma unroll
          for (int s = 0; s < kSets; ++s)
#pragma unroll
            for (int o = 0; o < 2; ++o) {
              if constexpr (form.super()) {
                const int scale = whole_scale_of(scales, group, o);
                high[s][o] += scale * d[s][2 * o], low[s][o] += scale * d[s][2 * o + 1];
              } else {
                sum[s][o] = fmaf(scale_of(scales, group, o),
                                 __int2float_rn(d[s][2 * o] * 128 + d[s][2 * o + 1]), sum[s][o]);
              }
            }
        };
#pragma unroll
        for (int p = 0; p < 2; ++p) {
          const int part = 2 * half + p;
          uint32_t a[2][4];
          open(chunk[i], part, lane, signs, a);
#pragma unroll
          for (int b = 0; b < 2; ++b) {
            const auto b_of = [&](int s, int quad) {
              const uint4& v = x.digits[s][part];
              return b == 0 ? (quad == 0 ? v.x : v.y) : (quad == 0 ? v.z : v.w);
            };
            if constexpr (form.group == 16) {
#pragma unroll
              for (int quad = 0; quad < 2; ++quad) {
#pragma unroll
                for (int s = 0; s < kSets; ++s)
                  mma_16<is_signed>(d[s], a[b][2 * quad], a[b][2 * quad + 1], b_of(s, quad));
                end_group(4 * p + 2 * b + quad);
              }
            } else {
#pragma unroll
              for (int s = 0; s < kSets; ++s)
                if (form.group == 64 && b == 1)
                  mma_32_more<is_signed>(d[s], a[b], b_of(s, 0), b_of(s, 1));
                else
                  mma_32<is_signed>(d[s], a[b], b_of(s, 0), b_of(s, 1));
              if (form.group == 32) end_group(2 * p + b);
              if (form.group == 64 && b == 1) end_group(p);
            }
          }
        }
        if constexpr (form.super()) {
#pragma unroll
          for (int s = 0; s < kSets; ++s) {
            const float unit_scale = x.scale[s][half] * unit;
#pragma unroll
            for (int o = 0; o < 2; ++o) {
              const float all = fmaf(128.0F, __int2float_rn(high[s][o]), __int2float_rn(low[s][o]));
              const float super = o == 0 ? supers[i].scale.x : supers[i].scale.y;
              acc[i][s][o] = fmaf(super * unit_scale, all, acc[i][s][o]);
            }
          }
        } else {
#pragma unroll
          for (int s = 0; s < kSets; ++s)
#pragma unroll
            for (int o = 0; o < 2; ++o) acc[i][s][o] = fmaf(x.scale[s][half] * unit, sum[s][o], acc[i][s][o]);
        }
        if constexpr (form.has_min) {
          uint32_t mins[half_words];
          scale_words(chunk[i], form.mins_at(), half, g, mins);
          if constexpr (form.super()) {
            // Four groups of one row in a word.
            const uint32_t of_row[2] = {__byte_perm(mins[0], mins[1], 0x6420),
                                        __byte_perm(mins[0], mins[1], 0x7531)};
#pragma unroll
            for (int s = 0; s < kSets; ++s)
#pragma unroll
              for (int o = 0; o < 2; ++o) {
                const int all = dot_4(of_row[o], x.sum_h[s][half]) * 128 + dot_4(of_row[o], x.sum_l[s][half]);
                const float super = o == 0 ? supers[i].min.x : supers[i].min.y;
                acc[i][s][o] = fmaf(super * x.sum_scale[s][half], __int2float_rn(all), acc[i][s][o]);
              }
          } else {
#pragma unroll
            for (int j = 0; j < half_groups; ++j)
#pragma unroll
              for (int o = 0; o < 2; ++o) {
                float min = scale_of(mins, j, o);
                if constexpr (form.bits == 8 && is_signed) min = fmaf(128.0F, scale_of(scales, j, o), min);
#pragma unroll
                for (int s = 0; s < kSets; ++s)
#pragma unroll
                  for (int e = 0; e < float_mins / half_groups; ++e)
                    acc[i][s][o] =
                        fmaf(min, x.sums[s][half][j * (float_mins / half_groups) + e], acc[i][s][o]);
              }
          }
        }
      }
  }
};

}  // namespace tessera::cuda
