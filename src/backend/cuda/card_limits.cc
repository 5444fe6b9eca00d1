// measure_cuda(): the card's read bandwidth and its bfloat16 products, both as the backend reaches them.
#include <algorithm>
#include <vector>

#include "backend/cuda/ops.h"
#include "backend/cuda/products.h"

namespace tessera {
namespace {

constexpr int64_t kReadBytes = int64_t{4} << 30, kSide = 8192;
constexpr int kProducts = 10, kBursts = 3;

// Not zeros: a product of zeros is faster than one of values.
float some_value(int64_t i) {
  const auto bits = static_cast<uint32_t>(i) * 2654435761U;
  return static_cast<float>(static_cast<int32_t>(bits >> 8) - (1 << 23)) * 0x1p-24F;
}

double product_rate(cuda::Device& device) {
  cuda::Products products(device);
  WeightSource source;
  source.cols = kSide;
  source.parts.push_back(
      {.rows = kSide, .stored = DType::kBF16, .read = [](int64_t first, int64_t count, float* out) {
         for (int64_t i = 0; i < count * kSide; ++i)
           out[i] = bf16_to_f32(f32_to_bf16(some_value(first * kSide + i)));
       }});
  const Weight w = products.pack(source);
  products.weights_done();
  products.reserve(kSide);
  std::vector<uint16_t> values(static_cast<size_t>(kSide * kSide));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = f32_to_bf16(some_value(static_cast<int64_t>(i) * 7 + 3));
  const auto x = device.allocate(kSide * kSide * 2, false), y = device.allocate(kSide * kSide * 4, false);
  cuda::check(
      cudaMemcpyAsync(x.get(), values.data(), values.size() * 2, cudaMemcpyHostToDevice, device.stream()),
      "copying to the card");
  cudaEvent_t begin = nullptr, end = nullptr;
  cuda::check(cudaEventCreate(&begin), "cudaEventCreate");
  cuda::check(cudaEventCreate(&end), "cudaEventCreate");
  double best = 0;
  for (int burst = 0; burst <= kBursts; ++burst) {
    cuda::check(cudaEventRecord(begin, device.stream()), "cudaEventRecord");
    for (int i = 0; i < kProducts; ++i)
      products.linear({y.get(), kSide, kSide, DType::kF32}, {x.get(), kSide, kSide, DType::kBF16}, w);
    cuda::check(cudaEventRecord(end, device.stream()), "cudaEventRecord");
    cuda::check(cudaEventSynchronize(end), "a product");
    float ms = 0;
    cuda::check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
    if (burst > 0) best = std::max(best, kProducts * 2.0 * kSide * kSide * kSide / (ms * 1e-3));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return best;
}

}  // namespace

CudaLimits measure_cuda(int index) {
  cuda::Device device(index);
  const int64_t read = std::min(kReadBytes, device.free_bytes() / 2);
  return {device.name(), cuda::read_rate(device, read), product_rate(device)};
}

}  // namespace tessera
