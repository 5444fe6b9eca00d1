// Products on the card against a double-precision product of the same weights and the same bfloat16 inputs,
// for every neutral form of quantised weights and every float format; the row contract; replay of a captured
// graph.
#include "gpu/gpu_products.h"

namespace tessera {
namespace {

constexpr int64_t kRowCounts[] = {1, 2, 3, 8, 9, 17, 32, 33, 129, 513};

// Up to 32 rows codes are exact and x is in digits; more rows see weights rounded to bfloat16.
TEST_F(GpuProducts, EveryFormEqualsADoublePrecisionProduct) {
  uint32_t seed = 1;
  for (const Form& form : forms())
    for (const int64_t cols : {768, 640}) {
      if (cols % kSuperBlock != 0 && form.layout.scale == Scale::kSuper) continue;
      const QuantMatrix w(form.layout, 83, cols, ++seed);
      const Weight packed = products.pack({.cols = cols, .parts = {w.part()}});
      products.reserve(513);
      const std::vector<float> rounded = to_bf16(w.value);
      for (const int64_t rows : kRowCounts) {
        const Values x = inputs(rows, cols, ++seed);
        const bool integers = rows <= cuda::kIntegerRows;
        expect_product(linear(packed, x), integers ? digit_values(x) : x, integers ? w.value : rounded, 83,
                       integers ? 1e-5 : 3e-5, form.name + ", seed " + std::to_string(seed));
        if (HasFatalFailure()) return;
      }
    }
}

TEST_F(GpuProducts, FloatFormatsOfOddShapesEqualADoublePrecisionProduct) {
  uint32_t seed = 100;
  for (const DType stored : {DType::kF32, DType::kF16, DType::kBF16})
    for (const int64_t cols : {96, 647, 1280})
      for (const DType x_dtype : {DType::kBF16, DType::kF32}) {
        const FloatMatrix w(stored, 83, cols, ++seed);
        const Weight packed = products.pack({.cols = cols, .parts = {w.part()}});
        products.reserve(513);
        for (const int64_t rows : kRowCounts) {
          const bool few = rows <= cuda::kMatvecRows, exact = few || stored == DType::kF32;
          Values x =
              x_dtype == DType::kF32 && exact ? Values(rows, cols, ++seed) : inputs(rows, cols, ++seed);
          expect_product(
              linear(packed, x, x_dtype), x, exact ? w.value : to_bf16(w.value), 83, 1e-5,
              "format " + std::to_string(static_cast<int>(stored)) + ", seed " + std::to_string(seed));
          if (HasFatalFailure()) return;
        }
      }
}

// A real width, more than fits in shared memory with 8 rows; more tiles than multiprocessors.
TEST_F(GpuProducts, WideAndTallMatrices) {
  const auto all = forms();
  for (const auto& [outputs, cols] : {std::pair<int64_t, int64_t>{40, 15360}, {2720, 256}, {5000, 512}})
    for (const size_t i : {0U, 1U, 5U, 7U, 9U}) {
      const QuantMatrix w(all[i].layout, outputs, cols, 40);
      const Weight packed = products.pack({.cols = cols, .parts = {w.part()}});
      const FloatMatrix f(DType::kBF16, outputs, cols, 41);
      const Weight packed_f = products.pack({.cols = cols, .parts = {f.part()}});
      products.reserve(8);
      for (const int64_t rows : {1, 8}) {
        const Values x = inputs(rows, cols, 42);
        expect_product(linear(packed, x), digit_values(x), w.value, outputs, 1e-5, all[i].name);
        if (i == 0) expect_product(linear(packed_f, x), x, f.value, outputs, 1e-5, "bf16");
        if (HasFatalFailure()) return;
      }
    }
}

TEST_F(GpuProducts, ARowsBitsDoNotDependOnTheRowsBesideIt) {
  const int64_t cols = 1024, outputs = 16 * 150 + 5;
  std::vector<Weight> weights;
  std::vector<QuantMatrix> kept;
  for (const Form& form : forms()) kept.emplace_back(form.layout, outputs, cols, 2);
  const FloatMatrix f(DType::kBF16, outputs, cols, 3);
  for (const QuantMatrix& w : kept) weights.push_back(products.pack({.cols = cols, .parts = {w.part()}}));
  weights.push_back(products.pack({.cols = cols, .parts = {f.part()}}));
  products.reserve(8);
  const Values x = inputs(8, cols, 4);
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::vector<float> whole = linear(weights[i], x);
    ASSERT_EQ(linear(weights[i], x), whole) << "a second run, weight " << i;
    for (const int64_t count : {1, 2, 3, 5, 7})
      for (int64_t first = 0; first + count <= 8; ++first) {
        Values part(count, cols);
        std::copy_n(x.v.data() + first * cols, count * cols, part.v.data());
        const std::vector<float> y = linear(weights[i], part);
        ASSERT_EQ(std::memcmp(y.data(), whole.data() + first * outputs, y.size() * 4), 0)
            << "weight " << i << ", rows " << first << " + " << count;
      }
  }
}

// Alone, in one eight and in several, whether a gated product writes digits (up to 8 rows; the 12B's width,
// on cards with 120 to 150 multiprocessors) or not.
TEST_F(GpuProducts, ARowsBitsDoNotDependOnItsEight) {
  const int64_t cols = 512, n = 15360;
  std::vector<QuantMatrix> kept;
  for (const Form& form : forms()) kept.emplace_back(form.layout, 16 * 150 + 5, cols, 50);
  for (const size_t i : {1U, 5U, 7U, 0U}) kept.emplace_back(forms()[i].layout, n, cols, 51);
  const QuantMatrix down(forms()[1].layout, 16, n, 52);  // reads the digits
  products.pack({.cols = n, .parts = {down.part()}});
  std::vector<Weight> weights;
  for (const QuantMatrix& w : kept) {
    WeightSource source{.cols = cols, .parts = {w.part()}};
    if (w.rows == n) source.row_align = 16, source.parts.push_back(w.part());
    weights.push_back(products.pack(source));
  }
  products.reserve(32);
  const Values x = inputs(32, cols, 53);
  const auto product = [&](size_t i, int64_t first, int64_t count) {
    Values part(count, cols);
    std::copy_n(x.v.data() + first * cols, count * cols, part.v.data());
    if (kept[i].rows != n) return linear(weights[i], part);
    const OnCard in = on_card(count, cols, DType::kBF16, &part.v), out = on_card(count, n, DType::kBF16);
    products.gated_linear(out.tensor, in.tensor, weights[i]);
    return read(out.tensor);
  };
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::vector<float> whole = product(i, 0, 32);
    const auto outputs = static_cast<int64_t>(whole.size()) / 32;
    for (const auto& [first, count] :
         {std::pair<int64_t, int64_t>{0, 8}, {8, 8}, {3, 8}, {0, 17}, {15, 17}, {5, 9}, {23, 9}, {31, 1}}) {
      const std::vector<float> y = product(i, first, count);
      ASSERT_EQ(std::memcmp(y.data(), whole.data() + first * outputs, y.size() * 4), 0)
          << "weight " << i << ", rows " << first << " + " << count;
    }
  }
}

TEST_F(GpuProducts, PartsOfDifferentFormsMakeOneMatrix) {
  const auto all = forms();
  const QuantMatrix q(all[5].layout, 64, 512, 4), k(all[5].layout, 32, 512, 5), v(all[7].layout, 21, 512, 6);
  const FloatMatrix f(DType::kBF16, 19, 512, 7), g(DType::kF32, 3, 512, 8);
  const Weight packed =
      products.pack({.cols = 512, .parts = {q.part(), k.part(), v.part(), f.part(), g.part()}});
  products.reserve(129);
  std::vector<float> values;
  for (const auto* part : {&q.value, &k.value, &v.value, &f.value, &g.value})
    values.insert(values.end(), part->begin(), part->end());
  for (const int64_t rows : {1, 7, 17, 129}) {
    const Values x = inputs(rows, 512, 9);
    // Some outputs see the digits of x, which are half a step off at most.
    const double tolerance =
        rows <= cuda::kIntegerRows ? 1e-5 + largest(x) / kMostDigits / 2 / mean_size(x) : 2e-3;
    expect_product(linear(packed, x), x, values, 139, tolerance, "mixed");
  }
}

TEST_F(GpuProducts, GateAndUp) {
  const auto all = forms();
  const auto gelu = [](double v) {
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
  };
  const int64_t n = 72, cols = 512;
  struct Case {
    std::string name;
    std::vector<float> gate, up;
    Weight w;
  };
  std::vector<Case> cases;
  for (const auto& [a, b] :
       {std::pair{0U, 0U}, {1U, 1U}, {5U, 5U}, {7U, 7U}, {9U, 9U}, {12U, 12U}, {5U, 7U}}) {
    const QuantMatrix gate(all[a].layout, n, cols, 10), up(all[b].layout, n, cols, 11);
    cases.push_back({all[a].name + ", " + all[b].name, gate.value, up.value,
                     products.pack({.cols = cols, .row_align = 16, .parts = {gate.part(), up.part()}})});
  }
  for (const DType stored : {DType::kBF16, DType::kF32}) {
    const FloatMatrix gate(stored, n, cols, 12), up(stored, n, cols, 13);
    cases.push_back({"float", gate.value, up.value,
                     products.pack({.cols = cols, .row_align = 16, .parts = {gate.part(), up.part()}})});
  }
  products.reserve(513);
  for (const Case& c : cases)
    for (const int64_t rows : kRowCounts)
      for (const DType dtype : {DType::kBF16, DType::kF32}) {
        Values x = inputs(rows, cols, 14);
        for (float& v : x.v) v *= 0.25F;
        const bool integers = rows <= cuda::kIntegerRows && c.name != "float";
        const Values seen = integers ? digit_values(x) : x;
        const OnCard in = on_card(rows, cols, dtype, &x.v), out = on_card(rows, n, dtype);
        products.gated_linear(out.tensor, in.tensor, c.w);
        const std::vector<float> y = read(out.tensor);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t i = 0; i < n; ++i) {
            const float *row = seen.v.data() + r * cols, *wg = c.gate.data() + i * cols,
                        *wu = c.up.data() + i * cols;
            const double g = dot(row, wg, cols), u = dot(row, wu, cols);
            double g_size = 0, u_size = 0;
            for (int64_t k = 0; k < cols; ++k)
              g_size += std::fabs(double{row[k]} * wg[k]), u_size += std::fabs(double{row[k]} * wu[k]);
            // With many rows weights, gate and up value are rounded to bfloat16 (2^-8 each); the result may
            // be.
            const double rounding = integers || rows <= cuda::kMatvecRows ? 1e-5 : 0.004;
            const double g_error = rounding * (g_size + std::fabs(g)),
                         u_error = rounding * (u_size + std::fabs(u));
            const double y_error = dtype == DType::kBF16 ? 0.004 * std::fabs(gelu(g) * u) : 0;
            ASSERT_NEAR(y[static_cast<size_t>(r * n + i)], gelu(g) * u,
                        1.2 * g_error * (std::fabs(u) + u_error) + u_error * std::fabs(gelu(g)) +
                            1.01 * y_error + 1e-7)
                << c.name << ", row " << r << " of " << rows << ", " << i;
          }
      }
}

TEST_F(GpuProducts, LogitsAreCappedOnce) {
  const QuantMatrix w(forms()[7].layout, 100, 256, 15);
  const FloatMatrix f(DType::kF32, 100, 256, 16), b(DType::kBF16, 100, 256, 18);
  const std::vector<std::vector<WeightPart>> cases = {{w.part()}, {f.part()}, {w.part(), b.part()}};
  for (size_t i = 0; i < cases.size(); ++i) {
    const Weight packed = products.pack({.cols = 256, .parts = cases[i]});
    products.reserve(33);
    for (const int64_t rows : {1, 17, 33}) {
      const Values x = inputs(rows, 256, 17);
      const OnCard in = on_card(rows, 256, DType::kBF16, &x.v), out = on_card(rows, packed.rows, DType::kF32);
      products.logits(out.tensor, in.tensor, packed, 0.5F);
      const std::vector<float> capped = read(out.tensor), plain = linear(packed, x);
      for (size_t at = 0; at < capped.size(); ++at)
        ASSERT_NEAR(capped[at], 0.5F * std::tanh(plain[at] / 0.5F), 1e-5F)
            << "case " << i << ", " << rows << " rows, " << at;
    }
  }
}

TEST_F(GpuProducts, EmbeddingRows) {
  const auto check = [&](Weight packed, const std::vector<float>& value, const std::string& name) {
    const OnCard y = on_card(4, 256, DType::kF32), token = on_card(4, 1, DType::kI32);
    const int32_t ids[] = {39, 0, -1, 17};
    upload(token.tensor.data, ids, sizeof(ids));
    products.embed(y.tensor, packed, static_cast<const int32_t*>(token.tensor.data), 4, 62.0F);
    const std::vector<float> out = read(y.tensor);
    for (size_t r = 0; r < 4; ++r)
      for (size_t k = 0; k < 256; ++k) {
        if (ids[r] < 0) {
          ASSERT_EQ(out[r * 256 + k], 0) << name;
          continue;
        }
        const float wanted = value[static_cast<size_t>(ids[r]) * 256 + k] * 62.0F;
        ASSERT_NEAR(out[r * 256 + k], wanted, 1e-5F) << name << ", " << r << ", " << k;
      }
  };
  for (const Form& form : forms()) {
    const QuantMatrix w(form.layout, 40, 256, 20);
    check(products.pack({.cols = 256, .parts = {w.part()}}), w.value, form.name);
  }
  for (const DType stored : {DType::kF32, DType::kF16, DType::kBF16}) {
    const FloatMatrix f(stored, 40, 256, 21);
    check(products.pack({.cols = 256, .parts = {f.part()}}), f.value, "float");
  }
}

// A step as the engine replays it: the same bits as calls one by one, also when replays follow each other at
// once.
TEST_F(GpuProducts, ACapturedStepReplaysTheSameBits) {
  const auto all = forms();
  const QuantMatrix a(all[1].layout, 512, 512, 30), g(all[5].layout, 1024, 512, 31),
      u(all[5].layout, 1024, 512, 32);
  const QuantMatrix head(all[7].layout, 4000, 1024, 33);
  const Weight wa = products.pack({.cols = 512, .parts = {a.part()}});
  const Weight wg = products.pack({.cols = 512, .row_align = 16, .parts = {g.part(), u.part()}});
  const Weight wh = products.pack({.cols = 1024, .parts = {head.part()}});
  products.weights_done();
  products.reserve(8);
  const Values x = inputs(3, 512, 34);
  const OnCard in = on_card(3, 512, DType::kBF16, &x.v), y = on_card(3, 512, DType::kF32),
               ffn = on_card(3, 1024, DType::kBF16), logits = on_card(3, 4000, DType::kF32);
  const auto step = [&] {
    products.linear(y.tensor, in.tensor, wa);
    products.gated_linear(ffn.tensor, y.tensor, wg);  // f32 activations: rounded on the way
    products.gated_linear(ffn.tensor, in.tensor, wg);
    products.logits(logits.tensor, ffn.tensor, wh, 30);
  };
  step();
  const std::vector<float> wanted = read(logits.tensor);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  cuda::check(cudaStreamBeginCapture(device.stream(), cudaStreamCaptureModeThreadLocal), "capture");
  step();
  cuda::check(cudaStreamEndCapture(device.stream(), &graph), "capture");
  cuda::check(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
  for (int i = 0; i < 20; ++i) {
    cuda::check(cudaMemsetAsync(logits.tensor.data, 0xFF, 3 * 4000 * 4, device.stream()), "poison");
    for (int j = 0; j < 3; ++j) cuda::check(cudaGraphLaunch(replay, device.stream()), "replay");
    ASSERT_EQ(read(logits.tensor), wanted) << i;
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

}  // namespace
}  // namespace tessera
