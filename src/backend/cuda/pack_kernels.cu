// Rows as they come from the file → the layouts of matrix.h. One block packs one chunk, one thread a word at
// a time: the bus that brings the rows is slower.
#include "backend/cuda/fragments.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace tessera::cuda {
namespace {

__constant__ int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

struct Packer {
  StagedRows from;
  Form form;
  int64_t tile, k0;  // first input of the chunk

  __device__ const uint8_t* row(int r) const { return from.rows + (tile * kTileRows + r) * from.row_bytes; }

  // The code that the kernels see: as in the file, or with 8 bits less 128 or the table's value.
  __device__ uint32_t code(int r, int k) const {
    if (k0 + k >= from.cols) return 0;
    const uint8_t c = row(r)[k0 + k];
    if (form.bits < 8) return c;
    return static_cast<uint8_t>(from.layout.table ? iq4_values[c] : static_cast<int>(c) - 128);
  }
  // Code of byte `byte` in the word of lane 4g + t, a row half and 16 inputs of a block of 32.
  __device__ uint32_t code(int block, int lane, int half, int quad, int byte) const {
    return code(lane / 4 + 8 * half, 32 * block + 16 * quad + 4 * (lane % 4) + input_of_byte(byte));
  }

  __device__ uint32_t low_word(int i) const {  // of the plane of 4-bit codes
    const int part = i / 128, lane = i % 128 / 4, half = i % 4 / 2, quad = i % 2;
    uint32_t w = 0;
    for (int byte = 0; byte < 4; ++byte)
      w |= ((code(2 * part, lane, half, quad, byte) & 15U) |
            (code(2 * part + 1, lane, half, quad, byte) & 15U) << 4)
           << (8 * byte);
    return w;
  }
  __device__ uint32_t fifth_bits(int i) const {
    const int lane = i / 4, part = i % 4;
    uint32_t w = 0;
    for (int at = 0; at < 8; ++at)
      for (int byte = 0; byte < 4; ++byte)
        w |= (code(2 * part + at / 4, lane, at / 2 % 2, at % 2, byte) >> 4 & 1U) << (8 * byte + at);
    return w;
  }
  __device__ uint32_t two_bits(int i) const {
    const int block = i / 128 * 4 + i % 4, lane = i % 128 / 4;
    uint32_t w = 0;
    for (int at = 0; at < 4; ++at)
      for (int byte = 0; byte < 4; ++byte)
        w |= (code(block, lane, at / 2, at % 2, byte) >> 4 & 3U) << (8 * byte + 2 * at);
    return w;
  }
  __device__ uint32_t bytes_word(int i) const {
    uint32_t w = 0;
    for (int byte = 0; byte < 4; ++byte)
      w |= code(i / 128, i % 128 / 4, i % 2, i % 4 / 2, byte) << (8 * byte);
    return w;
  }

  // Scale or min of the group of input k as float32.
  __device__ float value(int64_t at, int64_t super_at, int r, int64_t k, bool min) const {
    const int64_t group = k / from.layout.group;
    const uint8_t* base = row(r) + at;
    using enum QuantLayout::Scale;
    if (from.layout.scale == kF32) return reinterpret_cast<const float*>(base)[group];
    if (from.layout.scale == kSuper) {
      const float super = __half2float(reinterpret_cast<const __half*>(row(r) + super_at)[k / kSuperBlock]);
      return min ? -super * base[group] : super * reinterpret_cast<const int8_t*>(base)[group];
    }
    const uint16_t bits = reinterpret_cast<const uint16_t*>(base)[group];
    return from.layout.scale == kF16 ? __half2float(__ushort_as_half(bits))
                                     : __uint_as_float(static_cast<uint32_t>(bits) << 16);
  }

  __device__ void write_scale(uint8_t* chunk, int i, bool min) const {
    const int groups = kChunkCols / form.group, row_at = i / (2 * groups) + 8 * (i % 2);
    const int64_t k = k0 + i / 2 % groups * form.group;
    uint8_t* to = chunk + (min ? form.mins_at() : form.scales_at()) + i * form.scale_bytes();
    const bool inside = k < from.cols;
    if (form.scale == QuantLayout::Scale::kF32) {  // kAnyForm: value = scale * (code + 128) + min
      const float scale = inside ? value(from.scales_at, from.super_scales_at, row_at, k, false) : 0;
      float v = scale;
      if (min) {
        v = inside && from.layout.has_min ? value(from.mins_at, from.super_mins_at, row_at, k, true) : 0;
        v = fmaf(-static_cast<float>(from.layout.table ? 128 : from.layout.zero), scale, v);
      }
      *reinterpret_cast<float*>(to) = v;
      return;
    }
    const uint8_t* base = row(row_at) + (min ? from.mins_at : from.scales_at);
    const int64_t group = k / from.layout.group;
    if (form.super())
      *to = inside ? base[group] : 0;
    else
      *reinterpret_cast<uint16_t*>(to) = inside ? reinterpret_cast<const uint16_t*>(base)[group] : 0;
  }
};

__global__ void pack_chunk(StagedRows from, Form form, int64_t chunks, uint8_t* to) {
  depend_release();
  depend_wait();
  const Packer p{from, form, blockIdx.x / chunks, static_cast<int64_t>(blockIdx.x % chunks) * kChunkCols};
  uint8_t* chunk = to + static_cast<int64_t>(blockIdx.x) * form.chunk_bytes();
  auto* words = reinterpret_cast<uint32_t*>(chunk);
  const int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  for (int i = first; i < form.high_at() / 4; i += step)
    words[i] = form.bits == 8 ? p.bytes_word(i) : p.low_word(i);
  for (int i = first; i < (form.scales_at() - form.high_at()) / 4; i += step)
    words[form.high_at() / 4 + i] = form.bits == 5 ? p.fifth_bits(i) : p.two_bits(i);
  for (int i = first; i < form.scale_count(); i += step) {
    p.write_scale(chunk, i, false);
    if (form.has_min) p.write_scale(chunk, i, true);
  }
  if (form.super() && first < (form.has_min ? 32 : 16)) {
    const bool min = first >= 16;
    const int r = first % 16 / 2 + 8 * (first % 2);
    const uint8_t* base = p.row(r) + (min ? from.super_mins_at : from.super_scales_at);
    reinterpret_cast<uint16_t*>(chunk + form.supers_at())[first] =
        p.k0 < from.cols ? reinterpret_cast<const uint16_t*>(base)[p.k0 / kSuperBlock] : 0;
  }
}

template <typename T>
__device__ T narrowed(float v) {
  if constexpr (sizeof(T) == 4)
    return v;
  else if constexpr (std::is_same_v<T, __half>)
    return __float2half(v);
  else
    return __float2bfloat16(v);
}

template <typename T>
__global__ void pack_row(const float* from, int64_t cols, int64_t stride, T* to) {
  depend_release();
  depend_wait();
  const int64_t r = blockIdx.x;
  for (int64_t k = threadIdx.x; k < stride; k += blockDim.x)
    to[r * stride + k] = narrowed<T>(k < cols ? from[r * cols + k] : 0.0F);
}

}  // namespace

void pack_tiles(const Device& device, const StagedRows& from, int64_t tiles, const Form& form, int64_t stride,
                uint8_t* to) {
  const int64_t chunks = stride / kChunkCols;
  launch(device, pack_chunk, dim3(static_cast<unsigned>(tiles * chunks)), dim3(256), 0, from, form, chunks,
         to);
}

void pack_floats(const Device& device, const float* from, int64_t rows, int64_t cols, int64_t stride,
                 DType dtype, uint8_t* to) {
  const dim3 grid(static_cast<unsigned>(rows)), block(256);
  if (dtype == DType::kF32)
    launch(device, pack_row<float>, grid, block, 0, from, cols, stride, reinterpret_cast<float*>(to));
  else if (dtype == DType::kF16)
    launch(device, pack_row<__half>, grid, block, 0, from, cols, stride, reinterpret_cast<__half*>(to));
  else
    launch(device, pack_row<__nv_bfloat16>, grid, block, 0, from, cols, stride,
           reinterpret_cast<__nv_bfloat16*>(to));
}

}  // namespace tessera::cuda
