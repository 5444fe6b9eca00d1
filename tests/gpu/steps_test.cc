// What only a card does: recorded steps, and the card's own path through the 12B's head sizes. bfloat16 as
// users get it; answers must not depend on whether a step was recorded, on a repetition, or (but for
// rounding) on the chunks.
#include <gtest/gtest.h>

#include "backend/cuda/ops.h"
#include "engine/stepper.h"
#include "support/distance.h"
#include "support/engines.h"

namespace tessera::test {
namespace {

std::shared_ptr<Engine> engine(int chunk, const std::string& kv = "") {
  static std::map<std::pair<int, std::string>, std::shared_ptr<Engine>> loaded;
  auto& e = loaded[{chunk, kv}];
  if (!e) {
    EngineOptions o;
    o.backend = "cuda";
    o.chunk_tokens = chunk;
    o.context_tokens = 2304;
    o.kv = kv;
    e = Engine::load(kTiny, o);
  }
  return e;
}

std::vector<int32_t> some_ids(int count) {
  std::vector<int32_t> ids = {2};
  for (int i = 1; i < count; ++i) ids.push_back(300 + i * 7919 % 700);
  return ids;
}

std::vector<float> logits_after(EngineImpl& impl, int count, int64_t single_from) {
  Sequence s(impl.config, impl.tokenizer);
  s.append_tokens(some_ids(count));
  Stepper stepper(impl, s);
  stepper.prefill(0, std::min<int64_t>(single_from, count));
  for (int64_t p = single_from; p < count; ++p) stepper.step(p, p + 1, 1);
  return stepper.logits();
}

// A step is enqueued once, recorded once and replayed from then on; other steps come in between.
TEST(GpuSteps, ReplaysEqualTheFirstRun) {
  EngineImpl& impl = engine(512)->impl();
  const std::vector<float> first = logits_after(impl, 40, 20);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(logits_after(impl, 40, 20), first) << "run " << i;
    logits_after(impl, 33, 33);
  }
}

TEST(GpuSteps, GreedyAnswersRepeat) {
  const auto e = engine(512);
  GenerateOptions o;
  o.ignore_end_tokens = true;
  o.max_tokens = 48;
  for (const float temperature : {0.0F, 1.0F}) {
    o.sampling.temperature = temperature;
    o.sampling.seed = 7;
    o.sampling.repetition_penalty = 1.1F;
    std::vector<int32_t> ids;
    for (int i = 0; i < 4; ++i) {
      Session s(e);
      s.append_text("<bos>Flight BA 117 to New York departs");
      const Reply r = s.generate(o);
      ASSERT_EQ(r.ids.size(), 48U);
      if (i == 0) ids = r.ids;
      EXPECT_EQ(r.ids, ids) << "temperature " << temperature << ", run " << i;
    }
  }
}

// Rows of many conversations go by eights, long runs of one together, none is left out or cut.
TEST(GpuSteps, EveryRowHasItsAttention) {
  const auto ranges = [](std::initializer_list<std::pair<int, int>> runs) {  // {sequence, rows}
    std::vector<int32_t> sequence;
    for (const auto& [s, rows] : runs) sequence.insert(sequence.end(), static_cast<size_t>(rows), s);
    std::vector<std::tuple<int64_t, int64_t, bool>> out;
    for (const cuda::RowRange& r : cuda::attention_ranges(sequence))
      out.emplace_back(r.first, r.rows, r.many);
    return out;
  };
  using Ranges = std::vector<std::tuple<int64_t, int64_t, bool>>;
  EXPECT_EQ(ranges({}), Ranges());
  EXPECT_EQ(ranges({{3, 9}}), (Ranges{{0, 9, true}}));
  EXPECT_EQ(ranges({{0, 1}, {1, 1}, {2, 5}, {3, 2}}), (Ranges{{0, 7, false}, {7, 2, false}}));
  EXPECT_EQ(ranges({{0, 4}, {1, 512}, {2, 30}, {3, 8}, {4, 1}}),
            (Ranges{{0, 4, false}, {4, 542, true}, {546, 8, false}, {554, 1, false}}));
}

// Sessions take turns in the same slot, so that what they have said is prefilled again: in float32, where a
// row's bits do not depend on the rows of its step.
TEST(GpuSteps, SessionsDoNotDisturbEachOther) {
  const auto e = engine(512, "f32");
  GenerateOptions o;
  o.ignore_end_tokens = true;
  o.sampling.temperature = 0;
  const auto answer = [&](Session& s, int tokens) {
    o.max_tokens = tokens;
    return s.generate(o).ids;
  };
  const std::vector<std::string> prompts = {"<bos>Flight BA 117", "<bos>Gate 22 at 10:45",
                                            "<bos>What is this?"};
  std::vector<std::vector<int32_t>> alone, together(prompts.size());
  for (const auto& p : prompts) {
    Session s(e);
    s.append_text(p);
    alone.push_back(answer(s, 24));
  }
  std::vector<Session> sessions;
  for (const auto& p : prompts) {
    sessions.emplace_back(e);
    sessions.back().append_text(p);
  }
  for (int turn = 0; turn < 6; ++turn)
    for (size_t i = 0; i < sessions.size(); ++i)
      for (const int32_t id : answer(sessions[i], 4)) together[i].push_back(id);
  EXPECT_EQ(together, alone);
}

// Past the window (16 here) and around the ring, by chunks of several sizes: equal but for bfloat16's
// rounding.
TEST(GpuSteps, ChunksOnlyRound) {
  for (const int count : {15, 16, 17, 33, 700, 1100}) {
    const std::vector<float> whole = logits_after(engine(2048)->impl(), count, count);
    for (const int chunk : {1, 7, 64, 512}) {
      const double d = distance(logits_after(engine(chunk)->impl(), count, count), whole);
      EXPECT_LE(d, 0.05) << count << " tokens in chunks of " << chunk;
    }
  }
}

TEST(GpuSteps, AVisionBlockIsSeenWholeAtEveryChunk) {
  const nlohmann::json parts = {"look ", {"image", "shapes.png", 280}, " and say"};
  const auto logits = [&](int chunk) {
    EngineImpl& impl = engine(chunk)->impl();
    Sequence s = prompt_of(impl, parts);
    Stepper stepper(impl, s);
    stepper.prefill(0, s.size());
    return stepper.logits();
  };
  const std::vector<float> whole = logits(2048);
  for (const int chunk : {1, 64, 512}) EXPECT_LE(distance(logits(chunk), whole), 0.05) << "chunk " << chunk;
}

TEST(GpuSteps, DescribesItself) {
  EXPECT_NE(engine(512)->backend().find("cuda"), std::string::npos);
  EXPECT_EQ(engine(512)->options().kv, "bf16");
  EngineOptions o;
  o.backend = "cuda";
  o.kv = "q8_0";
  EXPECT_THROW(Engine::load(kTiny, o), Error);
  o.kv = "";
  o.device = 1000;
  EXPECT_THROW(Engine::load(kTiny, o), Error);
}

}  // namespace
}  // namespace tessera::test
