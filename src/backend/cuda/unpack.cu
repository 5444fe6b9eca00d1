// Packed weights back to rows: bfloat16 for products of many rows, float32 for the embedding.
#include "backend/cuda/fragments.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace tessera::cuda {
namespace {

__device__ __forceinline__ float code_of(uint32_t pair, int which) {
  return __uint_as_float(which == 0 ? pair << 16 : pair & 0xFFFF0000U);
}

__device__ __forceinline__ uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const uint32_t&>(v);
}

// v[block of 32][row g, row g + 8][code e]
template <class F>
__device__ __forceinline__ void open_values(const uint8_t* chunk, int part, int lane, uint32_t zero_pair,
                                            const Supers& supers, float (&v)[2][2][8]) {
  uint32_t a[2][2][4];
  open_codes<F>(chunk, part, lane, zero_pair, a);
  float scale[F::groups][2], min[F::groups][2];
  open_groups<F>(chunk, part, lane / 4, supers, scale, min);
#pragma unroll
  for (int b = 0; b < 2; ++b)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const int group = (b * 32 + e / 4 * 16) / F::form.group;
        const float code = code_of(a[b][e / 4][e % 4 / 2 * 2 + half], e % 2);
        if constexpr (F::form.has_min)
          v[b][half][e] = fmaf(scale[group][half], code, min[group][half]);
        else
          v[b][half][e] = scale[group][half] * code;
      }
}

template <class F>
__global__ void __launch_bounds__(256)
    unpack(const uint8_t* from, int64_t all, int64_t stride, uint32_t zero_pair, uint8_t* to) {
  depend_release();
  depend_wait();
  const int64_t chunks = stride / kChunkCols;
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int64_t at = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  if (at >= all) return;
  const uint8_t* chunk = from + at * F::form.chunk_bytes();
  const Supers supers = open_supers<F>(chunk, g);
  uint8_t* tile = to + (at / chunks * kTileRows * stride + at % chunks * kChunkCols) * 2;
#pragma unroll
  for (int part = 0; part < 4; ++part) {
    float v[2][2][8];
    open_values<F>(chunk, part, lane, zero_pair, supers, v);
#pragma unroll
    for (int b = 0; b < 2; ++b)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* e = v[b][half];
        const uint4 w = {bf16_pair(e[0], e[1]), bf16_pair(e[2], e[3]), bf16_pair(e[4], e[5]),
                         bf16_pair(e[6], e[7])};
        uint8_t* row = tile + ((g + 8 * half) * stride + part * 64 + b * 32) * 2;
        *reinterpret_cast<uint2*>(row + t * 8) = {w.x, w.y};
        *reinterpret_cast<uint2*>(row + 32 + t * 8) = {w.z, w.w};
      }
  }
}

struct EmbedArgs {
  const uint8_t* table;
  int64_t first_row, rows, stride;  // of the segment
  uint32_t zero_pair;
  float* y;
  int64_t cols;
  const int32_t* token;
  float scale;
};

__device__ __forceinline__ void clear_row(const EmbedArgs& a) {
  for (int64_t k = threadIdx.x; k < a.cols; k += blockDim.x) a.y[blockIdx.x * a.cols + k] = 0;
}

template <class F>
__global__ void __launch_bounds__(256) embed_quant(EmbedArgs a) {
  depend_release();
  depend_wait();
  const int64_t row = a.token[blockIdx.x] - a.first_row;
  if (a.token[blockIdx.x] < 0) return clear_row(a);
  if (row < 0 || row >= a.rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int64_t chunks = a.stride / kChunkCols;
  float* y = a.y + blockIdx.x * a.cols;
  for (int64_t c = threadIdx.x / 32; c < chunks; c += 8) {
    const uint8_t* chunk = a.table + (row / kTileRows * chunks + c) * F::form.chunk_bytes();
    const Supers supers = open_supers<F>(chunk, g);
    for (int part = 0; part < 4; ++part) {
      float v[2][2][8];
      open_values<F>(chunk, part, lane, a.zero_pair, supers, v);
      if (g != row % 8) continue;
#pragma unroll
      for (int b = 0; b < 2; ++b)
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          const int64_t k = c * kChunkCols + part * 64 + b * 32 + e / 4 * 16 + 4 * t + e % 4;
          if (k < a.cols) y[k] = (row % kTileRows < 8 ? v[b][0][e] : v[b][1][e]) * a.scale;
        }
    }
  }
}

template <typename T>
__global__ void embed_float(EmbedArgs a) {
  depend_release();
  depend_wait();
  const int64_t row = a.token[blockIdx.x] - a.first_row;
  if (a.token[blockIdx.x] < 0) return clear_row(a);
  if (row < 0 || row >= a.rows) return;
  const T* from = reinterpret_cast<const T*>(a.table) + row * a.stride;
  for (int64_t k = threadIdx.x; k < a.cols; k += blockDim.x)
    a.y[blockIdx.x * a.cols + k] = static_cast<float>(from[k]) * a.scale;
}

// 128 + zero, twice: what open_codes() takes off.
uint32_t zero_pair(const Segment& segment) {
  return uint32_t{f32_to_bf16(128.0F + static_cast<float>(segment.zero))} * 0x10001U;
}

}  // namespace

void unpack_tiles(const Device& device, const Segment& segment, int64_t stride, int64_t first, int64_t count,
                  void* to) {
  using enum QuantLayout::Scale;
  const int64_t chunks = stride / kChunkCols, all = count * chunks;
  const uint8_t* from = segment.data + first * chunks * segment.form.chunk_bytes();
  const dim3 grid(static_cast<unsigned>((all + 7) / 8));
#define X(bits, group, scale, has_min)                                                                \
  if (segment.form == Form{bits, group, scale, has_min})                                              \
    return launch(device, unpack<FormOf<bits, group, scale, has_min>>, grid, dim3(256), 0, from, all, \
                  stride, zero_pair(segment), static_cast<uint8_t*>(to));
  TESSERA_CUDA_FORMS(X)
#undef X
}

void embed_rows(const Device& device, const Segment& segment, int64_t stride, Tensor y, const int32_t* token,
                int64_t rows, float scale) {
  using enum QuantLayout::Scale;
  const EmbedArgs a{
      segment.data, segment.first_row, segment.rows, stride, zero_pair(segment), y.f32(), y.cols, token,
      scale};
  const dim3 grid(static_cast<unsigned>(rows)), block(256);
  if (segment.dtype == DType::kF32) return launch(device, embed_float<float>, grid, block, 0, a);
  if (segment.dtype == DType::kF16) return launch(device, embed_float<__half>, grid, block, 0, a);
  if (segment.dtype == DType::kBF16) return launch(device, embed_float<__nv_bfloat16>, grid, block, 0, a);
#define X(bits, group, kScale, has_min)                   \
  if (segment.form == Form{bits, group, kScale, has_min}) \
    return launch(device, embed_quant<FormOf<bits, group, kScale, has_min>>, grid, block, 0, a);
  TESSERA_CUDA_FORMS(X)
#undef X
}

}  // namespace tessera::cuda
