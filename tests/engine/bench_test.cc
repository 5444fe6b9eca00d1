// bench and measure_limits: what is counted and timed, what is refused. Not how fast anything is.
#include <gtest/gtest.h>

#include <cmath>

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
