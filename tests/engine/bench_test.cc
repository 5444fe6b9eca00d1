// bench and measure_limits: what is counted and timed, what is refused. Not how fast anything is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include "engine/operation_trace.h"
#include "engine/stepper.h"
#include "support/engines.h"
#include "support/expect_error.h"

namespace tessera::test {
namespace {

using Kind = BenchTest::Kind;

std::shared_ptr<Engine> engine(int64_t context = 2304) {
  return tiny_engine({"cpu", ""}, 64, 2, context);
}

BenchRun run(BenchTest test, int repeats = 2) {
  return bench(*engine(), {test, repeats, {}});
}

TEST(Bench, TimesEachRepeatOfEachKind) {
  for (const Kind kind : {Kind::kPrompt, Kind::kGenerate, Kind::kRows})
    for (const int depth : {0, 30, 100}) {
      const BenchRun r = run({kind, 7, depth}, 3);
      EXPECT_EQ(r.test.depth, depth);
      EXPECT_EQ(r.seconds.size(), 3U);
      for (const double s : r.seconds) EXPECT_TRUE(std::isfinite(s) && s > 0) << s;
      EXPECT_EQ(r.backend, engine()->impl().backend->describe());
    }
}

// tiny: 64 wide, 10 sliding layers of 4 query and 2 KV heads of 16, 2 full ones of 4 and 1 of 32 with V = K,
// ffn 160.
TEST(Bench, CountsOperationsAndBytes) {
  const double sliding = 64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 160, head = 1024 * 64;
  const auto& full_layer = engine()->info().layers[5];
  const double q = full_layer.q_heads * full_layer.head_dim, k = full_layer.kv_heads * full_layer.head_dim;
  const double full = 64 * (q + k) + q * 64 + 3 * 64 * 160, row = 10 * sliding + 2 * full;
  EXPECT_EQ(run({Kind::kPrompt, 100, 0}).operations, 2 * (100 * row + head)) << "logits of the last row only";
  EXPECT_EQ(run({Kind::kGenerate, 100, 0}).operations, 2 * 100 * (row + head));
  EXPECT_EQ(run({Kind::kRows, 5, 0}).operations, 2 * 5 * (row + head));
  const BenchRun r = run({Kind::kGenerate, 1, 0});
  EXPECT_GE(static_cast<double>(r.weight_bytes), 2 * (row + head));
  EXPECT_LT(r.weight_bytes, engine()->impl().backend->weight_bytes()) << "the media paths are not read";
  EXPECT_FALSE(r.integer_products) << "bfloat16 is multiplied as float32";
}

TEST(Bench, ReportsProgress) {
  std::vector<double> seen;
  bench(*engine(), {{Kind::kRows, 2, 0}, 4, [&](double fraction) { seen.push_back(fraction); }});
  ASSERT_EQ(seen.size(), 4U);
  for (const double f : seen) EXPECT_TRUE(f > 0 && f <= 1) << f;
}

TEST(Bench, RefusesWhatCannotBeRun) {
  const auto refuse = [](ErrorKind kind, const std::vector<std::string>& words, BenchTest test,
                         int repeats = 1) {
    expect_error(kind, words, [&] { bench(*engine(256), {test, repeats, {}}); });
  };
  refuse(ErrorKind::kBadRequest, {"0 tokens"}, {Kind::kPrompt, 0, 0});
  refuse(ErrorKind::kBadRequest, {"-1"}, {Kind::kGenerate, 1, -1});
  refuse(ErrorKind::kBadRequest, {"0 repeats"}, {Kind::kGenerate, 1, 0}, 0);
  refuse(ErrorKind::kTooLarge, {"257", "256"}, {Kind::kPrompt, 57, 200});
  refuse(ErrorKind::kTooLarge, {"2147483648"}, {Kind::kPrompt, 1, INT32_MAX});
  expect_error(ErrorKind::kTooLarge, {"1121 rows", "1120"}, [] {
    bench(*engine(), {{Kind::kRows, 1121, 0}, 1, {}});
  });
}

struct Moves {
  std::string name;
  int64_t calls, weights, kv_read, kv_written, read, written;
  bool operator==(const Moves&) const = default;
};

void PrintTo(const Moves& m, std::ostream* out) {
  *out << m.name << " {" << m.calls << ", " << m.weights << ", " << m.kv_read << ", " << m.kv_written << ", "
       << m.read << ", " << m.written << "}";
}

std::vector<Moves> moves(const OperationBenchRun& run) {
  std::vector<Moves> out;
  for (const auto& k : run.kinds)
    out.push_back({k.name, k.calls, k.weight_bytes, k.kv_read_bytes, k.kv_written_bytes, k.read_bytes,
                   k.written_bytes});
  return out;
}

// tiny as above, its matrices in bfloat16, all else in float32: a row of the residual stream is 256 bytes, K
// and V of a position are 256 bytes in each layer, the window is 16.
TEST(BenchOperations, MoveTheirBytes) {
  const OperationBenchRun one = bench_operations(*engine(), {{Kind::kGenerate, 128, 30}, 1, {}});
  EXPECT_EQ(moves(one),
            (std::vector<Moves>{
                {"embed", 1, 64 * 2, 0, 0, 0, 256},
                {"rope angles", 2, 4 * (8 + 16), 0, 0, 0, 4 * (2 * 8 + 2 * 16)},
                {"norm", 1, 256, 0, 0, 256, 256},
                {"q, k, v", 12, 2 * 64 * (10 * 128 + 2 * 160), 0, 0, 12 * 256, 6400},
                {"rope, store K V", 12, 10 * 128 + 2 * 256, 0, 12 * 256, 6400 + 10 * 64 + 2 * 128, 3584},
                {"attend, sliding", 10, 0, 10 * 16 * 256, 0, 2560, 2560},
                {"attend, full", 2, 0, 2 * 31 * 256, 0, 1024, 1024},
                {"attention out", 12, 2 * 64 * (10 * 64 + 2 * 128), 0, 0, 3584, 12 * 256},
                {"residual, norm", 24, 24 * 512, 0, 0, 24 * 512, 24 * 512},
                {"gate, up", 12, 12 * 2 * 64 * 320, 0, 0, 12 * 256, 12 * 640},
                {"down", 12, 12 * 2 * 64 * 160, 0, 0, 12 * 640, 12 * 256},
                {"last rows", 1, 0, 0, 0, 256, 256},
                {"logits", 1, 2 * 1024 * 64, 0, 0, 256, 4096},
            }));
  EXPECT_EQ(one.step.test.tokens, 1);
  EXPECT_EQ(one.empty_step_seconds, 0) << "each call was timed in its step";
  // Rows of one sequence share what they see and the weights; of a prompt one row has logits.
  const OperationBenchRun rows = bench_operations(*engine(), {{Kind::kRows, 5, 30}, 1, {}});
  const OperationBenchRun prompt = bench_operations(*engine(), {{Kind::kPrompt, 5, 30}, 1, {}});
  EXPECT_EQ(moves(rows)[5], (Moves{"attend, sliding", 10, 0, 10 * 20 * 256, 0, 5 * 2560, 5 * 2560}));
  EXPECT_EQ(moves(rows)[6], (Moves{"attend, full", 2, 0, 2 * 35 * 256, 0, 5 * 1024, 5 * 1024}));
  EXPECT_EQ(moves(rows)[12], (Moves{"logits", 1, 2 * 1024 * 64, 0, 0, 5 * 256, 5 * 4096}));
  EXPECT_EQ(moves(prompt)[12], moves(one)[12]);
  for (const OperationBenchRun* run : {&one, &rows, &prompt}) {
    int64_t weights = -run->kinds[0].weight_bytes;  // rows of the head, which is read whole
    double operations = 0;
    for (const auto& k : run->kinds) weights += k.weight_bytes, operations += k.operations;
    EXPECT_EQ(weights, run->step.weight_bytes);
    EXPECT_EQ(operations, run->step.operations);
  }
}

/// Its gate and up products take a millisecond more.
class SlowBackend final : public ForwardingBackend {
 public:
  explicit SlowBackend(std::unique_ptr<Backend> inner) : ForwardingBackend(*inner), own_(std::move(inner)) {}
  void gated_linear(Tensor y, Tensor x, Weight w) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    inner_.gated_linear(y, x, w);
  }

 private:
  std::unique_ptr<Backend> own_;
};

TEST(BenchOperations, TimeGoesToTheKindThatTakesIt) {
  const auto slow = make_engine(std::make_unique<EngineImpl>(
      kTiny, cpu_options(1, 64, 256), std::make_unique<SlowBackend>(make_cpu_backend(1, "portable"))));
  const OperationBenchRun run = bench_operations(*slow, {{Kind::kRows, 4, 10}, 3, {}});
  ASSERT_EQ(run.step.seconds.size(), 3U);
  double sum = 0;
  for (const auto& k : run.kinds) {
    sum += k.seconds;
    EXPECT_EQ(k.seconds >= 12e-3, k.name == "gate, up") << k.name << ": " << k.seconds;
  }
  EXPECT_GE(sum, 0.8 * *std::min_element(run.step.seconds.begin(), run.step.seconds.end()));
}

/// Remembers the keys of steps.
class KeyedBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void step(const StepPlan& plan, uint64_t key, const std::function<void()>& body) override {
    keys.push_back(key);
    inner_.step(plan, key, body);
  }
  std::vector<uint64_t> keys;
};

// What a card records by: each kind alone has a key of its own, and only that kind is computed.
TEST(BenchOperations, OneKindAloneIsAStepOfItsOwn) {
  EngineImpl& impl = engine()->impl();
  OperationTrace counted(*impl.backend, impl.model);
  KeyedBackend keyed(counted);
  OperationTrace trace(keyed, impl.model);
  Sequence sequence(impl.config, impl.tokenizer);
  sequence.append_tokens(std::vector<int32_t>{2, 300, 301});
  Stepper stepper(impl, sequence);
  const auto calls = [](const OperationTrace& of) {
    std::vector<int64_t> out;
    for (size_t k = 0; k < kOperationKinds; ++k)
      out.push_back(of.traced(static_cast<OperationKind>(k)).calls);
    return out;
  };
  stepper.step(trace, 0, 3, 1);
  const std::vector<int64_t> all = calls(trace);
  EXPECT_EQ(calls(counted), all);
  EXPECT_EQ(keyed.keys, std::vector<uint64_t>{0}) << "a replay would not be counted";
  for (size_t k = 0; k < kOperationKinds; ++k) {
    trace.keep_only(static_cast<OperationKind>(k));
    stepper.step(trace, 0, 3, 1);
    std::vector<int64_t> wanted(kOperationKinds, 0);
    wanted[k] = all[k];
    EXPECT_EQ(calls(counted), wanted) << "kind " << k;
  }
  trace.keep_only({});
  stepper.step(trace, 0, 3, 1);
  EXPECT_EQ(calls(counted), std::vector<int64_t>(kOperationKinds, 0));
  stepper.step(keyed, 0, 3, 1);
  EXPECT_EQ(std::set<uint64_t>(keyed.keys.begin(), keyed.keys.end()).size(), keyed.keys.size());
  EXPECT_EQ(keyed.keys.size(), 3 + kOperationKinds);
}

TEST(BenchOperations, RefusesWhatIsNoStep) {
  const auto refuse = [](ErrorKind kind, const std::vector<std::string>& words, BenchTest test) {
    expect_error(kind, words, [&] { bench_operations(*engine(256), {test, 1, {}}); });
  };
  refuse(ErrorKind::kBadRequest, {"picture"}, {Kind::kImage, 70, 0});
  refuse(ErrorKind::kTooLarge, {"65 tokens", "64", "chunk"}, {Kind::kPrompt, 65, 0});
  refuse(ErrorKind::kTooLarge, {"257", "256"}, {Kind::kGenerate, 1, 256});
  refuse(ErrorKind::kBadRequest, {"-1"}, {Kind::kRows, 1, -1});
}

// A prompt that overwrote the ring of the sliding layers is computed again before the next one is timed; what
// follows must be as if nothing had been there.
TEST(Stepper, ForgetsWhatWasOverwritten) {
  EngineImpl& impl = engine()->impl();
  Sequence sequence(impl.config, impl.tokenizer);
  std::vector<int32_t> ids(2200);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(300 + i * 7 % 500);
  sequence.append_tokens(ids);
  Stepper stepper(impl, sequence);
  const auto at_100 = [&] {
    stepper.prefill(0, 100);
    stepper.step(100, 103, 3);
    const auto logits = stepper.logits();
    return std::vector<float>(logits.begin(), logits.end());
  };
  const std::vector<float> fresh = at_100();
  ASSERT_EQ(fresh.size(), 3U * 1024);
  EXPECT_TRUE(stepper.holds(100));
  stepper.prefill(103, 2200);
  EXPECT_FALSE(stepper.holds(100));
  EXPECT_TRUE(stepper.holds(2200));
  EXPECT_EQ(at_100(), fresh);
  EXPECT_TRUE(stepper.holds(100));
  EXPECT_FALSE(stepper.holds(200)) << "not stepped through since the start";
}

TEST(Limits, AreMeasuredOnOneThreadAndOnSeveral) {
  const MachineLimits limits = measure_limits(2);
  EXPECT_EQ(limits.threads, 2);
  EXPECT_GE(limits.read_buffer_bytes, int64_t{1} << 25);
  for (const auto* rate : {&limits.read_bytes, &limits.int8_ops, &limits.f32_ops}) {
    EXPECT_FALSE(rate->unit.empty());
    for (const double v : {rate->one_thread, rate->all_threads})
      EXPECT_TRUE(std::isfinite(v) && v > 1e7) << rate->unit << ": " << v;
  }
  EXPECT_EQ(limits.bf16_ops.unit.empty(), limits.bf16_ops.one_thread == 0);
}

}  // namespace
}  // namespace tessera::test
