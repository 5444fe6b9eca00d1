// Norms and other work on whole rows: one block a row, the row in registers, sums in float32.
#include <algorithm>

#include "backend/cuda/digits.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/row.cuh"

namespace tessera::cuda {
namespace {

constexpr int kMostThreads = 512;  // of a block
constexpr int kFewParts = 2;

// Digits of a row that is stored as Out; its columns c … c + 3 are this thread's. Rows with digits are
// multiples of 256 wide, so that a warp has 128 columns or none.
template <typename Out, int kVec>
__device__ __forceinline__ void put_row_digits(const DigitsOut& digits, int cols, int c,
                                               const float (&v)[kVec], bool real = true) {
  if constexpr (kVec == 4) {
    if (digits.data == nullptr) return;
    const int block = c / kDigitCols;
    put_digits_as<Out>(record_of(digits.data, blockIdx.x, cols, block), block % 2, v, threadIdx.x % 32,
                       digits.sums, real);
  }
}

template <int kVec, int kParts, typename Out>
__global__ void __launch_bounds__(kMostThreads)
    norm_kernel(Out* y, const float* x, const float* w, int cols, float eps, DigitsOut digits) {
  __shared__ __align__(16) float partial[32];
  depend_release();
  depend_wait();
  const int64_t at = int64_t{blockIdx.x} * cols;
  Row<kVec, kParts> row;
  float squares = 0;
  row.each(cols, [&](int p, int c) {
    load<kVec>(row.v[p], x + at + c);
    for (const float e : row.v[p]) squares += e * e;
  });
  const float scale = 1 / sqrtf(block_sum(squares, partial) / static_cast<float>(cols) + eps);
  row.each(cols, [&](int p, int c) {
    float weight[kVec], out[kVec];
    if (w != nullptr) load<kVec>(weight, w + c);
    for (int i = 0; i < kVec; ++i) out[i] = row.v[p][i] * scale * (w != nullptr ? weight[i] : 1.0F);
    store<kVec>(y + at + c, out);
    put_row_digits<Out>(digits, cols, c, out);
  });
}

template <int kVec, int kParts, typename Out>
__global__ void __launch_bounds__(kMostThreads)
    layer_norm_kernel(Out* y, const float* x, const float* shift, const float* w, const float* bias, int cols,
                      float eps) {
  __shared__ __align__(16) float partial[2][32];
  depend_release();
  depend_wait();
  const int64_t at = int64_t{blockIdx.x} * cols;
  Row<kVec, kParts> row;
  float sum = 0;
  row.each(cols, [&](int p, int c) {
    load<kVec>(row.v[p], x + at + c);
    if (shift != nullptr) {
      float s[kVec];
      load<kVec>(s, shift + c);
      for (int i = 0; i < kVec; ++i) row.v[p][i] += s[i];
    }
    for (const float e : row.v[p]) sum += e;
  });
  const float mean = block_sum(sum, partial[0]) / static_cast<float>(cols);
  float squares = 0;
  row.each(cols, [&](int p, int) {
    for (float& e : row.v[p]) e -= mean, squares += e * e;
  });
  const float scale = 1 / sqrtf(block_sum(squares, partial[1]) / static_cast<float>(cols) + eps);
  row.each(cols, [&](int p, int c) {
    float weight[kVec], b[kVec];
    load<kVec>(weight, w + c);
    load<kVec>(b, bias + c);
    for (int i = 0; i < kVec; ++i) b[i] = row.v[p][i] * scale * weight[i] + b[i];
    store<kVec>(y + at + c, b);
  });
}

// kFew: rows of decode, whose latency counts. Their weights are fetched before the kernel waits for the one
// before it: they come from memory, evicted by the matrices since the last token. So do the kernel's own
// instructions: all of it runs once, on the weights, and stores nothing, then again (a single block lands on
// any multiprocessor; 0.3 us less).
template <int kVec, int kParts, bool kFew, typename Out>
__global__ void __launch_bounds__(kMostThreads)
    residual_norm_kernel(float* x, const float* y, const float* w_post, float scale, Out* h,
                         const float* w_next, int cols, float eps, DigitsOut digits) {
  __shared__ __align__(16) float partial[2][32];
  Row<kVec, kParts> stream, branch, post_weight, next_weight;
  depend_release();
  if constexpr (kFew)
    stream.each(cols, [&](int p, int c) {
      load<kVec>(post_weight.v[p], w_post + c);
      load<kVec>(next_weight.v[p], w_next + c);
    });
  const float n = static_cast<float>(cols);
  const int64_t at = int64_t{blockIdx.x} * cols;
#pragma unroll 1
  for (bool real = !kFew;; real = true) {
    if (real) depend_wait();
    const float *branch_in = real ? y + at : w_post, *stream_in = real ? x + at : w_next;
    float squares = 0;
    stream.each(cols, [&](int p, int c) {
      load<kVec>(branch.v[p], branch_in + c);
      load<kVec>(stream.v[p], stream_in + c);
      for (const float e : branch.v[p]) squares += e * e;
    });
    const float post = 1 / sqrtf(block_sum(squares, partial[0]) / n + eps);
    squares = 0;
    stream.each(cols, [&](int p, int c) {
      if constexpr (!kFew) load<kVec>(post_weight.v[p], w_post + c);
      for (int i = 0; i < kVec; ++i) {
        const float v = (stream.v[p][i] + branch.v[p][i] * post * post_weight.v[p][i]) * scale;
        stream.v[p][i] = v;
        squares += v * v;
      }
      if (real) store<kVec>(x + at + c, stream.v[p]);
    });
    const float next = 1 / sqrtf(block_sum(squares, partial[1]) / n + eps);
    stream.each(cols, [&](int p, int c) {
      if constexpr (!kFew) load<kVec>(next_weight.v[p], w_next + c);
      float out[kVec];
      for (int i = 0; i < kVec; ++i) out[i] = stream.v[p][i] * next * next_weight.v[p][i];
      if (real) store<kVec>(h + at + c, out);
      put_row_digits<Out>(digits, cols, c, out, real);
    });
    if (real) break;
  }
}

__global__ void add_positions_kernel(float* y, const float* table, const int32_t* xy, int cols) {
  depend_release();
  depend_wait();
  const int64_t r = blockIdx.x;
  const float* of_x = table + int64_t{xy[2 * r]} * 2 * cols;
  const float* of_y = table + (int64_t{xy[2 * r + 1]} * 2 + 1) * cols;
  for (int c = threadIdx.x; c < cols; c += blockDim.x) y[r * cols + c] += of_x[c] + of_y[c];
}

template <typename T>
__global__ void move_rows_kernel(T* y, const int32_t* to, const T* x, const int32_t* from, int cols) {
  depend_release();
  depend_wait();
  const int64_t i = blockIdx.x, r = to != nullptr ? to[i] : i, s = from != nullptr ? from[i] : i;
  for (int c = threadIdx.x; c < cols; c += blockDim.x) y[r * cols + c] = x[s * cols + c];
}

__device__ __forceinline__ float value_of(float v) {
  return v;
}
__device__ __forceinline__ float value_of(__nv_bfloat16 v) {
  return __bfloat162float(v);
}
__device__ __forceinline__ void assign(float* to, float v) {
  *to = v;
}
__device__ __forceinline__ void assign(__nv_bfloat16* to, float v) {
  *to = __float2bfloat16_rn(v);
}

template <typename Y, typename B>
__global__ void join_kernel(Y* y, const float* a, int a_cols, const B* b, int b_cols, const int32_t* from) {
  depend_release();
  depend_wait();
  const int64_t i = blockIdx.x, s = from[i];
  y += i * (a_cols + b_cols);
  for (int c = threadIdx.x; c < a_cols; c += blockDim.x) assign(y + c, a[i * a_cols + c]);
  for (int c = threadIdx.x; c < b_cols; c += blockDim.x) assign(y + a_cols + c, value_of(b[s * b_cols + c]));
}

__global__ void widen_kernel(float* to, const __nv_bfloat16* from, int64_t count) {
  depend_release();
  depend_wait();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) to[i] = __bfloat162float(from[i]);
}

// f<kVec, kParts, kFew, Out>(threads).
template <int kVec, typename Out, typename F>
void for_parts(int64_t rows, int64_t vectors, const F& f) {
  const auto threads = [vectors](int64_t parts, int64_t least) {
    return static_cast<int>((std::max(least, (vectors + parts - 1) / parts) + 31) / 32 * 32);
  };
  if (rows <= 32 && vectors <= kFewParts * kMostThreads)
    f.template operator()<kVec, kFewParts, true, Out>(threads(kFewParts, 32));
  else if (vectors <= 4 * kMostThreads)
    f.template operator()<kVec, 4, false, Out>(threads(4, 256));
  else
    f.template operator()<kVec, 8, false, Out>(threads(8, 256));
}

template <typename F>
void for_row(const Tensor& out, int64_t rows, const F& f) {
  require(out.cols <= kMaxCols && (out.cols % 4 == 0 || out.cols <= kMaxCols / 4), "a row's width");
  const bool narrow = out.dtype == DType::kBF16;
  if (out.cols % 4 == 0 && narrow) for_parts<4, __nv_bfloat16>(rows, out.cols / 4, f);
  if (out.cols % 4 == 0 && !narrow) for_parts<4, float>(rows, out.cols / 4, f);
  if (out.cols % 4 != 0 && narrow) for_parts<1, __nv_bfloat16>(rows, out.cols, f);
  if (out.cols % 4 != 0 && !narrow) for_parts<1, float>(rows, out.cols, f);
}

}  // namespace

void norm(const Device& device, Tensor y, Tensor x, const float* w, float eps, DigitsOut digits) {
  for_row(y, x.rows, [&]<int kVec, int kParts, bool kFew, typename Out>(int threads) {
    launch(device, norm_kernel<kVec, kParts, Out>, dim3(x.rows), dim3(threads), 0, static_cast<Out*>(y.data),
           x.f32(), w, static_cast<int>(x.cols), eps, digits);
  });
}

void layer_norm(const Device& device, Tensor y, Tensor x, const float* shift, const float* w,
                const float* bias, float eps) {
  for_row(y, x.rows, [&]<int kVec, int kParts, bool kFew, typename Out>(int threads) {
    launch(device, layer_norm_kernel<kVec, kParts, Out>, dim3(x.rows), dim3(threads), 0,
           static_cast<Out*>(y.data), x.f32(), shift, w, bias, static_cast<int>(x.cols), eps);
  });
}

void residual_norm(const Device& device, Tensor x, Tensor y, const float* w_post, float scale, Tensor h,
                   const float* w_next, float eps, DigitsOut digits) {
  for_row(h, x.rows, [&]<int kVec, int kParts, bool kFew, typename Out>(int threads) {
    launch(device, residual_norm_kernel<kVec, kParts, kFew, Out>, dim3(x.rows), dim3(threads), 0, x.f32(),
           y.f32(), w_post, scale, static_cast<Out*>(h.data), w_next, static_cast<int>(x.cols), eps, digits);
  });
}

void add_positions(const Device& device, Tensor y, const float* table, const int32_t* xy) {
  launch(device, add_positions_kernel, dim3(y.rows), dim3(256), 0, y.f32(), table, xy,
         static_cast<int>(y.cols));
}

void move_rows(const Device& device, Tensor y, const int32_t* to, Tensor x, const int32_t* from,
               int64_t count) {
  if (count == 0) return;
  require(y.dtype == x.dtype && y.cols == x.cols, "rows of different formats");
  const int cols = static_cast<int>(x.cols);
  if (x.dtype == DType::kBF16)
    launch(device, move_rows_kernel<uint16_t>, dim3(count), dim3(256), 0, static_cast<uint16_t*>(y.data), to,
           static_cast<const uint16_t*>(x.data), from, cols);
  else
    launch(device, move_rows_kernel<float>, dim3(count), dim3(256), 0, y.f32(), to,
           static_cast<const float*>(x.data), from, cols);
}

void join(const Device& device, Tensor y, Tensor a, Tensor b, const int32_t* from, int64_t count) {
  if (count == 0) return;
  require(a.dtype == DType::kF32 && y.cols == a.cols + b.cols, "what is joined");
  const auto start = [&]<typename Y, typename B>(Y* to, const B* of) {
    launch(device, join_kernel<Y, B>, dim3(count), dim3(256), 0, to, static_cast<const float*>(a.data),
           static_cast<int>(a.cols), of, static_cast<int>(b.cols), from);
  };
  const auto to = [&]<typename B>(const B* of) {
    if (y.dtype == DType::kBF16)
      start(static_cast<__nv_bfloat16*>(y.data), of);
    else
      start(y.f32(), of);
  };
  if (b.dtype == DType::kBF16)
    to(static_cast<const __nv_bfloat16*>(b.data));
  else
    to(static_cast<const float*>(b.data));
}

void widen(const Device& device, float* to, Tensor from) {
  const int64_t count = from.rows * from.cols;
  launch(device, widen_kernel, dim3((count + 255) / 256), dim3(256), 0, to,
         static_cast<const __nv_bfloat16*>(from.data), count);
}

}  // namespace tessera::cuda
