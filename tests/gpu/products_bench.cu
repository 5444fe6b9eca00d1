// Time of the products of the 12B geometry: every shape, format and number of rows from cold memory, whole
// tokens with a small kernel between the products, prompts of 2,048 rows; beside the card's read bandwidth
// and matrix peak of the same run. Not a test.
#include <cuda_bf16.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/digits.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/products.h"

namespace tessera::cuda {
namespace {

struct Format {
  const char* name;
  QuantLayout layout;  // bits 0: bfloat16
  double bits;         // of a weight in the file
};
using Scale = QuantLayout::Scale;
const Format kFormats[] = {
    {"bf16", {}, 16},
    {"q8_0", {.bits = 8, .group = 32, .zero = 128}, 8.5},
    {"q4_0", {.bits = 4, .group = 32, .zero = 8}, 4.5},
    {"q4_k", {.bits = 4, .group = 32, .scale = Scale::kSuper, .has_min = true}, 4.5},
    {"q6_k", {.bits = 6, .group = 16, .zero = 32, .scale = Scale::kSuper}, 6.5625},
    {"mlx4", {.bits = 4, .group = 64, .scale = Scale::kBF16, .has_min = true}, 4.5},
};

struct Shape {
  const char* name;
  int64_t n, k;
  bool gated;
  int per_token;  // products of a token
};
const Shape kShapes[] = {
    {"qkv", 8192, 3840, false, 40},   {"qkv_full", 8704, 3840, false, 8}, {"o", 3840, 4096, false, 40},
    {"o_full", 3840, 8192, false, 8}, {"gate_up", 30720, 3840, true, 48}, {"down", 3840, 15360, false, 48},
    {"head", 262144, 3840, false, 1},
};

// Once each, and by eights where weights are quantised.
constexpr int64_t kRows[] = {1, 4, 8, 16, 32};

double g_read = 0;  // GB/s

__global__ void read_all(const uint4* from, int64_t count, uint32_t* sink) {
  uint32_t sum = 0;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count; i += step * 8) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j)
      if (i + j * step < count) v[j] = __ldcs(from + i + j * step);
#pragma unroll
    for (int j = 0; j < 8; ++j)
      if (i + j * step < count) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  if (sum == 0x12345) *sink = sum;
}

// Stands for a norm between two products: one block a row, one warp 128 columns; digits: of x, or null.
__global__ void small_step(const float* y, __nv_bfloat16* x, int cols, DigitsOut digits) {
  depend_release();
  depend_wait();
  const int lane = threadIdx.x % 32;
  for (int block = threadIdx.x / 32; block < cols / kDigitCols; block += blockDim.x / 32) {
    const int64_t at = int64_t{blockIdx.x} * cols + block * kDigitCols + lane * 4;
    const float4 v = *reinterpret_cast<const float4*>(y + at);
    const float out[4] = {tanhf(v.x), tanhf(v.y), tanhf(v.z), tanhf(v.w)};
#pragma unroll
    for (int i = 0; i < 4; ++i) x[at + i] = __float2bfloat16(out[i]);
    if (digits.data != nullptr)
      put_digits_as<__nv_bfloat16>(record_of(digits.data, blockIdx.x, cols, block), block % 2, out, lane,
                                   digits.sums);
  }
}

class Bench {
 public:
  Bench() : begin_(event()), end_(event()) { fill(); }

  void limits() {
    const int64_t bytes = int64_t{4} << 30;
    auto memory = device.allocate(bytes), sink = device.allocate(256);
    auto other = device.allocate(bytes);
    const double read = seconds(10, [&] {
      read_all<<<132 * 8, 512, 0, device.stream()>>>(static_cast<const uint4*>(memory.get()), bytes / 16,
                                                     static_cast<uint32_t*>(sink.get()));
    });
    const double copy = seconds(10, [&] {
      cudaMemcpyAsync(other.get(), memory.get(), bytes, cudaMemcpyDeviceToDevice, device.stream());
    });
    g_read = bytes / read / 1e9;
    printf("read %.0f GB/s, copy %.0f GB/s (both directions)\n", g_read, 2 * bytes / copy / 1e9);
    CublasLt library;
    auto work = device.allocate(CublasLt::kWorkspaceBytes);
    random_bf16(memory.get(), int64_t{8192} * 8192 * 2);
    auto* base = static_cast<uint8_t*>(memory.get());
    const double product = seconds(10, [&] {
      library.multiply(device.stream(), base, 8192, 8192, base + (int64_t{8192} * 8192 * 2), 8192,
                       other.get(), 8192, false, work.get());
    });
    peak = 2.0 * 8192 * 8192 * 8192 / product / 1e12;
    printf("%s: bf16 8192^3 %.0f TFLOP/s\n", library.describe().c_str(), peak);
  }

  Weight pack(Products& products, const Format& f, int64_t n, int64_t k, bool gated) {
    WeightPart part;
    part.rows = gated ? n / 2 : n;
    part.stored = DType::kBF16;
    part.quant = f.layout;
    part.read = [&, k](int64_t first, int64_t count, float* out) {
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(out + r * k, floats_.data() + (first + r) % 1999 * 16, static_cast<size_t>(k) * 4);
    };
    part.read_quant = [&, k, layout = f.layout](int64_t row, const QuantRow& out) {
      const uint8_t* from = codes_.data() + row % 1999 * 16;
      const auto mask = static_cast<uint8_t>((1 << layout.bits) - 1);
      for (int64_t i = 0; i < k; ++i) out.codes[i] = from[i] & mask;
      const int64_t groups = k / layout.group;
      const uint16_t one = layout.scale == Scale::kBF16 ? 0x3A80 : 0x1400;
      if (layout.scale == Scale::kSuper) {
        std::memset(out.scales, 33, static_cast<size_t>(groups));
        for (int64_t i = 0; i < k / kSuperBlock; ++i) out.super_scales[i] = 0x0800;
        if (layout.has_min) {
          std::memset(out.mins, 21, static_cast<size_t>(groups));
          for (int64_t i = 0; i < k / kSuperBlock; ++i) out.super_mins[i] = 0x0800;
        }
      } else {
        for (int64_t i = 0; i < groups; ++i) static_cast<uint16_t*>(out.scales)[i] = one;
        if (layout.has_min)
          for (int64_t i = 0; i < groups; ++i) static_cast<uint16_t*>(out.mins)[i] = one | 0x8000;
      }
    };
    WeightSource source{.cols = k, .row_align = gated ? 16 : 1, .parts = {part}};
    if (gated) source.parts.push_back(part);
    return products.pack(source);
  }

  // Microseconds of one product: all of `weights` in a graph, replayed. x has its digits already, as in a
  // model.
  double product_us(Products& products, const std::vector<Weight>& weights, bool gated, int64_t rows) {
    const Weight& w = weights[0];
    const Tensor x{x_.get(), rows, w.cols, DType::kBF16};
    const Tensor y{y_.get(), rows, gated ? w.rows / 2 : w.rows, gated ? DType::kBF16 : DType::kF32};
    if (const DigitsOut digits = products.digits_for(x); digits.data != nullptr)
      quantise_rows(device, x, w.cols, digits);
    const auto round = [&] {
      for (const Weight& each : weights)
        gated ? products.gated_linear(y, x, each) : products.linear(y, x, each);
    };
    return seconds(rows > 32 ? 3 : 10, round, true) * 1e6 / static_cast<double>(weights.size());
  }

  void shapes(const Format& f, const std::vector<Shape>& wanted, bool many) {
    double token_us = 0, bytes_all = 0;
    for (const Shape& s : wanted) {
      const double bytes = static_cast<double>(s.n * s.k) * f.bits / 8;
      const auto copies = static_cast<size_t>(std::clamp(400e6 / bytes + 1, 2.0, 24.0));
      Products products(device);
      std::vector<Weight> weights;
      for (size_t i = 0; i < copies; ++i) weights.push_back(pack(products, f, s.n, s.k, s.gated));
      products.weights_done();
      const bool large = many && s.n < 100000;
      products.reserve(large ? 2048 : 32);
      printf("%-5s %-8s %6.1f MB |", f.name, s.name, bytes / 1e6);
      for (const int64_t rows : kRows) {
        const double us = product_us(products, weights, s.gated, rows);
        if (rows == 1) token_us += us * s.per_token, bytes_all += bytes * s.per_token;
        printf(" %lld row: %7.2f us %5.0f GB/s %5.1f %% |", static_cast<long long>(rows), us,
               bytes / us / 1e3, bytes / us / 1e3 / g_read * 100);
      }
      if (large) {
        const double us = product_us(products, weights, s.gated, 2048);
        const double tflops = 2.0 * 2048 * static_cast<double>(s.n * s.k) / us / 1e6;
        printf(" 2048: %7.1f us %4.0f TFLOP/s %4.1f %%", us, tflops, tflops / peak * 100);
      }
      printf("\n");
      fflush(stdout);
    }
    printf("%-5s a token's products one after the other: %.0f us, %.1f %% of read bandwidth\n", f.name,
           token_us, bytes_all / token_us / 1e3 / g_read * 100);
  }

  // Products of 8 layers and the head, a small kernel before each product: what a token could take.
  void tokens(const Format& f) {
    Products products(device);
    struct Layer {
      Weight qkv, o, gate_up, down;
    };
    std::vector<Layer> layers;
    double bytes = 0;
    for (int i = 0; i < 8; ++i) {
      layers.push_back({pack(products, f, 8192, 3840, false), pack(products, f, 3840, 4096, false),
                        pack(products, f, 30720, 3840, true), pack(products, f, 3840, 15360, false)});
      for (const Weight& w : {layers.back().qkv, layers.back().o, layers.back().gate_up, layers.back().down})
        bytes += static_cast<double>(w.rows * w.cols) * f.bits / 8;
    }
    products.weights_done();
    products.reserve(32);
    for (const int64_t rows : kRows) {
      const auto x = [&](int64_t cols) { return Tensor{x_.get(), rows, cols, DType::kBF16}; };
      const auto small = [&](int64_t cols) {
        launch(device, small_step, dim3(static_cast<unsigned>(rows)), dim3(1024), 0,
               static_cast<const float*>(y_.get()), static_cast<__nv_bfloat16*>(x_.get()),
               static_cast<int>(cols), products.digits_for(x(cols)));
      };
      const auto y = [&](int64_t cols) { return Tensor{y_.get(), rows, cols, DType::kF32}; };
      const double us =
          seconds(
              20,
              [&] {
                for (const Layer& l : layers) {
                  small(3840);
                  products.linear(y(8192), x(3840), l.qkv);
                  small(4096);  // rope and store
                  small(4096);  // attention
                  products.linear(y(3840), x(4096), l.o);
                  small(3840);
                  products.gated_linear({x2_.get(), rows, 15360, DType::kBF16}, x(3840), l.gate_up);
                  products.linear(y(3840), {x2_.get(), rows, 15360, DType::kBF16}, l.down);
                }
              },
              true) *
          1e6 / 8;
      printf("%-5s layer with 4 small kernels, %lld rows: %6.2f us, %5.1f %% of read bandwidth\n", f.name,
             static_cast<long long>(rows), us, bytes / 8 / us / 1e3 / g_read * 100);
    }
    fflush(stdout);
  }

  Device device{0};
  double peak = 0;

 private:
  static cudaEvent_t event() {
    cudaEvent_t e = nullptr;
    check(cudaEventCreate(&e), "event");
    return e;
  }

  // Median of `repeats`, after one to warm up.
  double seconds(int repeats, const std::function<void()>& work, bool as_graph = false) {
    work();
    device.synchronize();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    if (as_graph) {
      check(cudaStreamBeginCapture(device.stream(), cudaStreamCaptureModeThreadLocal), "capture");
      work();
      check(cudaStreamEndCapture(device.stream(), &graph), "capture");
      check(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
      check(cudaGraphLaunch(replay, device.stream()), "replay");
    }
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
      check(cudaEventRecord(begin_, device.stream()), "event");
      if (as_graph)
        check(cudaGraphLaunch(replay, device.stream()), "replay");
      else
        work();
      check(cudaEventRecord(end_, device.stream()), "event");
      device.synchronize();
      float ms = 0;
      cudaEventElapsedTime(&ms, begin_, end_);
      times.push_back(ms * 1e-3);
    }
    if (replay) cudaGraphExecDestroy(replay), cudaGraphDestroy(graph);
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  void random_bf16(void* to, int64_t bytes) {
    std::vector<uint16_t> values(1 << 22);
    for (auto& v : values) v = f32_to_bf16(normal_(random_));
    for (int64_t at = 0; at < 2 * bytes; at += static_cast<int64_t>(values.size()) * 2)
      cudaMemcpyAsync(static_cast<uint8_t*>(to) + at, values.data(), values.size() * 2,
                      cudaMemcpyHostToDevice, device.stream());
    device.synchronize();
  }

  void fill() {
    for (int i = 0; i < 64 * 1024; ++i) {
      codes_.push_back(static_cast<uint8_t>(random_()));
      floats_.push_back(bf16_to_f32(f32_to_bf16(0.02F * normal_(random_))));
    }
    x_ = device.allocate(int64_t{2048} * 15360 * 2);
    x2_ = device.allocate(int64_t{2048} * 15360 * 2);
    y_ = device.allocate(int64_t{2048} * 30720 * 4);
    random_bf16(x_.get(), int64_t{2048} * 15360);
  }

  cudaEvent_t begin_, end_;
  std::mt19937 random_{1};
  std::normal_distribution<float> normal_;
  std::vector<uint8_t> codes_;
  std::vector<float> floats_;
  std::shared_ptr<void> x_, x2_, y_;
};

}  // namespace
}  // namespace tessera::cuda

// products_bench [few] [layers] [FORMAT…] [SHAPE…]: everything without names; few: no products of 2,048 rows;
// layers: whole layers only; a shape: none of them.
int main(int argc, char** argv) {
  using namespace tessera::cuda;
  const std::vector<std::string> names(argv + 1, argv + argc);
  const auto named = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto wanted = [&](const auto& all, const char* name) {
    return named(name) ||
           std::none_of(std::begin(all), std::end(all), [&](const auto& a) { return named(a.name); });
  };
  Bench bench;
  bench.limits();
  std::vector<Shape> shapes;
  for (const Shape& s : kShapes)
    if (wanted(kShapes, s.name)) shapes.push_back(s);
  for (const Format& f : kFormats) {
    if (!wanted(kFormats, f.name)) continue;
    if (shapes.size() == std::size(kShapes)) bench.tokens(f);
    if (!named("layers")) bench.shapes(f, shapes, !named("few"));
  }
  return 0;
}
