#pragma once
// y[r] = x[r] Wᵀ for 1 … 8 rows of quantised weights in integers: codes are the A operand of mma.m16n8k32 as
// they are, the digits of x (digits.cuh) B: columns 2r and 2r + 1 are h and l of row r, so four rows cost
// what one does; 5 to 8 rows are two such sets. Sums over a group are exact; with kSuper those over 128
// inputs too.
//
// Blocks, warps and rings as in matvec.cuh. x comes straight from the caches to registers, ahead of its step:
// through shared memory it would cost a barrier between its arrival and the first product.
//
// Codes without mins enter as signed bytes times 16, 8, 4 or 1 (4, 5, 6, 8 bits), which drops their zero
// point; with mins as they are, and a min is multiplied with the digits of the sums of x. kAnyForm's enter as
// the file's unsigned ones: near -128 scale and min would nearly cancel.
#include <algorithm>

#include "backend/cuda/digits.cuh"
#include "backend/cuda/fragments.cuh"
#include "backend/cuda/int_ops.cuh"
#include "backend/cuda/launch.h"

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
      if (i + lane < bytes / 16) copy_16(to + (i + lane) * 16, from + (i + lane) * 16);
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

// Sums of one unit to y. Lane 4g + t holds outputs g and g + 8 of row t of each set. kept: gated, values as
// stored, [row][128] from the block's first output; or null.
template <bool kGated, int kTiles, int kSets>
__device__ __forceinline__ void store_rows(const MatvecArgs& a, int unit,
                                           const float (&acc)[kTiles][kSets][2], int lane, float* kept,
                                           int first_unit) {
  constexpr int kOutputs = kGated ? 1 : kTiles;  // tiles of y
#pragma unroll
  for (int i = 0; i < kOutputs; ++i)
#pragma unroll
    for (int s = 0; s < kSets; ++s)
#pragma unroll
      for (int o = 0; o < 2; ++o) {
        const int row = s * kSetRows + lane % 4;
        const int64_t output = (int64_t{unit} * kOutputs + i) * kTileRows + lane / 4 + o * 8;
        if (row >= a.rows || output >= a.outputs) continue;
        const int64_t at = row * a.y_stride + output;
        if constexpr (kGated) {
          float v = gelu_tanh(acc[0][s][o]) * acc[1][s][o];
          if (a.y_f32) {
            static_cast<float*>(a.y)[at] = v;
          } else {
            const __nv_bfloat16 narrow = __float2bfloat16(v);
            static_cast<__nv_bfloat16*>(a.y)[at] = narrow;
            v = __bfloat162float(narrow);
          }
          if (kept != nullptr) kept[row * kDigitCols + output - int64_t{first_unit} * kTileRows] = v;
        } else {
          const float v = acc[i][s][o];
          static_cast<float*>(a.y)[at] = a.cap > 0 ? a.cap * tanhf(v / a.cap) : v;
        }
      }
}

// Shared memory: rings of the warps, slots of partial sums [warp][tile][set][lane], with y_digits the block's
// outputs [row][128].
template <class C, bool kGated, int kSets>
__global__ void __launch_bounds__(C::warps * 32, 1) matvec_int(const MatvecArgs a) {
  constexpr int kTiles = kGated || C::pairs ? 2 : 1;  // of a unit
  constexpr int kAtOnce = C::pairs ? 2 : 1, kSlot = kAtOnce * C::bytes, kSlots = C::stages / kAtOnce;
  extern __shared__ __align__(128) uint8_t shared[];
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint8_t* ring = shared + warp * C::stages * C::bytes;
  float2* slots = reinterpret_cast<float2*>(shared + warps * C::stages * C::bytes);
  float* kept =
      a.y_digits == nullptr ? nullptr : reinterpret_cast<float*>(slots + warps * kTiles * kSets * 32);
  const auto ring_at = static_cast<uint32_t>(__cvta_generic_to_shared(ring));

  // 32 bits suffice: units × blocks is below 2^31. A division of 64 bits takes a microsecond's tenth.
  const int chunks = static_cast<int>(a.stride) / kChunkCols, each = kGated ? a.unit_group : 1;
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int first_unit = a.units / each * block / blocks * each;
  const int steps = (a.units / each * (block + 1) / blocks * each - first_unit) * chunks;
  const int least = steps / warps, longer = steps - least * warps;
  const auto begin_of = [&](int w) { return w * least + min(w, longer); };
  const int begin = begin_of(warp), end = begin_of(warp + 1);
  int unit = first_unit + begin / chunks, chunk = begin % chunks;

  // The next chunk to fetch, of a unit's first tile; its second tile is `second` bytes further, the next
  // unit's first tile `unit_bytes`.
  const int64_t unit_bytes = (kGated ? 1 : kTiles) * a.tile_bytes,
                skip = unit_bytes - int64_t{chunks} * C::bytes;
  const int64_t second = kGated ? a.up_tiles * a.tile_bytes : a.tile_bytes;
  // A product with an odd number of tiles: the last unit has its tile twice.
  const int odd_unit = !kGated && kTiles == 2 && a.tiles % 2 != 0 ? a.units - 1 : -1;
  const uint8_t* next = a.weights + unit * unit_bytes + int64_t{chunk} * C::bytes;
  int next_left = chunks - chunk, next_tile = 0, left = end - begin, next_slot = 0, next_unit = unit;
  const auto fetch = [&] {  // a slot: what is computed at once
    if (left > 0) {
      const int64_t other = kTiles == 1 || next_unit == odd_unit ? 0 : second;
      const uint32_t to = ring_at + next_slot * kSlot;
      C::fetch(to, next + (next_tile == 0 ? 0 : other), lane);
      if constexpr (kAtOnce == 2) C::fetch(to + C::bytes, next + other, lane);
      next_tile += kAtOnce;
      if (next_tile == kTiles) {
        next_tile = 0;
        next += C::bytes;
        if (--next_left == 0) next += skip, next_left = chunks, ++next_unit;
        if (--left == 1) depend_release();
      }
    }
    next_slot = next_slot + 1 == kSlots ? 0 : next_slot + 1;
    copy_commit();
  };
  if (left <= 1) depend_release();
#pragma unroll
  for (int i = 0; i < kSlots; ++i) fetch();

  const uint8_t *column[kSets], *row[kSets];  // of x: where B and the scales come from
#pragma unroll
  for (int s = 0; s < kSets; ++s) {
    const auto from_row = [&](int r) {
      return static_cast<const uint8_t*>(a.x) +
             static_cast<uint32_t>(min(s * kSetRows + r, a.rows - 1) * chunks * kRecordBytes);
    };
    column[s] = from_row(lane / 8) + lane / 4 % 2 * kChunkCols + lane % 4 * 16;
    row[s] = from_row(lane % 4);
  }
  depend_wait();

  typename C::template Inputs<kSets> x;
  if (begin < end) x.load(column, row, chunk);
  float acc[kTiles][kSets][2] = {};
  int slot = 0;
  bool from_start = chunk == 0;
  for (int step = begin; step < end; ++step) {
#pragma unroll
    for (int h = 0; h < kTiles; h += kAtOnce) {
      copy_wait<kSlots - 1>();
      __syncwarp();  // other lanes fetched parts of this chunk
      const uint8_t* at = ring + slot * kSlot;
      if constexpr (kAtOnce == 2) {
        const uint8_t* const both[2] = {at, at + C::bytes};
        C::add(acc, both, x, lane);
      } else {
        const uint8_t* const one[1] = {at};
        C::add(reinterpret_cast<float(&)[1][kSets][2]>(acc[h]), one, x, lane);
      }
      // The next step's x comes while its codes are waited for and opened.
      if (h + kAtOnce == kTiles) x.load(column, row, chunk + 1 == chunks ? 0 : chunk + 1);
      __syncwarp();  // all have read it
      fetch();
      slot = slot + 1 == kSlots ? 0 : slot + 1;
    }
    if (++chunk < chunks && step + 1 < end) continue;
    if (from_start && chunk < chunks) break;  // its last unit, which the next warps end
    if (from_start) {
      store_rows<kGated>(a, unit, acc, lane, kept, first_unit);
    } else {
#pragma unroll
      for (int h = 0; h < kTiles; ++h)
#pragma unroll
        for (int s = 0; s < kSets; ++s)
          slots[((warp * kTiles + h) * kSets + s) * 32 + lane] = make_float2(acc[h][s][0], acc[h][s][1]);
    }
#pragma unroll
    for (int h = 0; h < kTiles; ++h)
#pragma unroll
      for (int s = 0; s < kSets; ++s) acc[h][s][0] = acc[h][s][1] = 0;
    chunk = 0, ++unit, from_start = true;
  }
  __syncthreads();

  // The warp that began a unit and did not end it adds what the next ones have of it.
  if (begin != end && chunk != 0) {
    const int unit_end = (unit - first_unit + 1) * chunks;
#pragma unroll 4
    for (int w = warp + 1; w < warps; ++w) {
      if (begin_of(w) >= unit_end || begin_of(w) == begin_of(w + 1)) break;  // empty warps are the last
#pragma unroll
      for (int h = 0; h < kTiles; ++h)
#pragma unroll
        for (int s = 0; s < kSets; ++s) {
          const float2 v = slots[((w * kTiles + h) * kSets + s) * 32 + lane];
          acc[h][s][0] += v.x, acc[h][s][1] += v.y;
        }
    }
    store_rows<kGated>(a, unit, acc, lane, kept, first_unit);
  }
  if constexpr (kGated) {
    if (kept == nullptr) return;
    __syncthreads();
    for (int r = warp; r < a.rows; r += warps) {
      const float4 v = *reinterpret_cast<const float4*>(kept + r * kDigitCols + lane * 4);
      const int at = first_unit * kTileRows / kDigitCols;
      put_digits(record_of(a.y_digits, r, a.outputs, at), at % 2, {v.x, v.y, v.z, v.w}, lane);
    }
  }
}

template <class C, bool kGated>
void launch_matvec_int(const Device& device, int shared_limit, MatvecArgs a) {
  constexpr int kTiles = kGated || C::pairs ? 2 : 1, kMostSets = 2;
  if (!kGated) a.units = (a.tiles + kTiles - 1) / kTiles;
  // Sized for the most rows, so that the warps, and with them the bits, do not depend on the rows.
  constexpr int kKept = kGated ? kMostSets * kSetRows * kDigitCols * 4 : 0;
  int warps = C::warps;
  const auto needed = [&] { return warps * (C::stages * C::bytes + kTiles * kMostSets * 256) + kKept; };
  while (needed() > shared_limit && warps > 1) --warps;  // cards with 99 KB of it
  // One block on a multiprocessor (launch_matvec).
  const int alone = shared_limit / 2 + 2048;
  const int parts = kGated ? a.units / a.unit_group : a.units;
  // As many blocks as end together: 256 parts are 128 blocks of two on 132 multiprocessors, not 124 of two
  // and 8 of one. A block may fill the registers of its multiprocessor; on those left free the small kernels
  // before and after this one run meanwhile.
  const int most = (parts + device.multiprocessors() - 1) / device.multiprocessors();
  const dim3 grid(static_cast<unsigned>((parts + most - 1) / most));
  launch(device, a.rows > kSetRows ? matvec_int<C, kGated, 2> : matvec_int<C, kGated, 1>, grid,
         dim3(static_cast<unsigned>(warps * 32)), static_cast<size_t>(std::max(alone, needed())), a);
}

/// Launches when `form` is this one. For the expansion of a TESSERA_CUDA_FORMS list.
template <int kBits, int kGroup, QuantLayout::Scale kScale, bool kHasMin>
bool launch_int_if(const Device& device, int shared_limit, const Form& form, bool gated,
                   const MatvecArgs& a) {
  if (!(form == Form{kBits, kGroup, kScale, kHasMin})) return false;
  using C = IntChunks<FormOf<kBits, kGroup, kScale, kHasMin>>;
  gated ? launch_matvec_int<C, true>(device, shared_limit, a)
        : launch_matvec_int<C, false>(device, shared_limit, a);
  return true;
}

}  // namespace tessera::cuda
