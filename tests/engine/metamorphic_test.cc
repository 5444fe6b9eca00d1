// What must not change a result: the chunk size, the number of threads, a cancelled and continued reply, a
// kept prefix. Bit-exact on the cpu backend, by the kernels' row contract.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/probe.h"
#include "engine/scheduler.h"
#include "support/engines.h"

namespace tessera::test {
namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<BackendCase> cpu_backends() {
  auto all = backends();
  std::erase_if(all, [](const BackendCase& c) { return c.backend != "cpu"; });
  return all;
}

ProbeResult run(const BackendCase& c, int chunk, int threads, const nlohmann::json& parts, int greedy) {
  EngineImpl& impl = tiny_engine(c, chunk, threads)->impl();
  Sequence s = prompt_of(impl, parts);
  return probe(impl, s, {greedy, false, 1});
}

// Ids 100 … of any count, no control tokens among them.
std::vector<int32_t> some_ids(int count) {
  std::vector<int32_t> ids = {2};
  for (int i = 1; i < count; ++i) ids.push_back(300 + i * 7919 % 700);
  return ids;
}

class Metamorphic : public testing::TestWithParam<BackendCase> {};

TEST_P(Metamorphic, ChunkSizeDoesNotMatter) {
  for (const auto& c : tiny_cases()) {
    if (!c.contains("parts")) continue;
    SCOPED_TRACE(c["name"].get<std::string>());
    const ProbeResult whole = run(GetParam(), 1024, 2, c["parts"], 4);
    for (const int chunk : {1, 7, 64, 512}) {
      const ProbeResult cut = run(GetParam(), chunk, 2, c["parts"], 4);
      EXPECT_TRUE(same_bits(whole.logits, cut.logits)) << "chunk " << chunk;
      EXPECT_EQ(whole.greedy, cut.greedy) << "chunk " << chunk;
    }
  }
}

TEST_P(Metamorphic, ThreadsDoNotMatter) {
  for (const auto& c : tiny_cases()) {
    if (!c.contains("parts")) continue;
    const ProbeResult one = run(GetParam(), 512, 1, c["parts"], 4);
    for (const int threads : {2, 3, 5}) {
      const ProbeResult many = run(GetParam(), 512, threads, c["parts"], 4);
      EXPECT_TRUE(same_bits(one.logits, many.logits)) << c["name"] << ", " << threads << " threads";
    }
  }
}

TEST_P(Metamorphic, PromptLengthsAroundPowersOfTwo) {
  for (const int n : {1023, 1024, 1025, 1536, 2048}) {
    const auto logits = [&](int chunk) {
      EngineImpl& impl = tiny_engine(GetParam(), chunk)->impl();
      Sequence s(impl.config, impl.tokenizer);
      s.append_tokens(some_ids(n));
      return probe(impl, s, {2, true, 1});
    };
    const ProbeResult whole = logits(512), cut = logits(64);
    EXPECT_TRUE(same_bits(whole.logits, cut.logits)) << n << " tokens";
    EXPECT_EQ(whole.greedy, cut.greedy);
  }
}

// A vision block longer than the chunk and than the window (16 here; 1,089 soft tokens at budget 1120).
TEST_P(Metamorphic, EveryBudgetAtEveryChunk) {
  for (const int budget : {70, 140, 280, 560, 1120}) {
    const nlohmann::json parts = {"look ", {"image", "shapes.png", budget}, " and say"};
    const ProbeResult whole = run(GetParam(), 2048, 2, parts, 2);
    for (const int chunk : {1, 64, 512}) {
      const ProbeResult cut = run(GetParam(), chunk, 2, parts, 2);
      EXPECT_TRUE(same_bits(whole.logits, cut.logits)) << "budget " << budget << ", chunk " << chunk;
    }
  }
}

TEST_P(Metamorphic, CancelAndContinueEqualsUninterrupted) {
  for (const float temperature : {0.0F, 1.0F}) {
    GenerateOptions o;
    o.sampling.temperature = temperature;
    o.sampling.seed = 7;
    o.sampling.frequency_penalty = 0.3F;
    o.ignore_end_tokens = true;
    o.max_tokens = 24;
    const auto engine = tiny_engine(GetParam());
    const auto prompt = [](Session& s) { s.append_text("<bos>Flight BA 117 to New York departs"); };
    Session whole(engine);
    prompt(whole);
    const Reply want = whole.generate(o);
    ASSERT_EQ(want.ids.size(), 24U);

    Session cut(engine);
    prompt(cut);
    int events = 0;
    std::vector<int32_t> got;
    while (got.size() < 24) {
      o.max_tokens = 24 - static_cast<int>(got.size());
      const Reply part = cut.generate(o, [&](const Event& e) {
        if (e.kind == EventKind::kText && ++events % 5 == 0) cut.cancel();
      });
      got.insert(got.end(), part.ids.begin(), part.ids.end());
      EXPECT_FALSE(part.ids.empty() && part.finish != FinishReason::kCancelled);
    }
    EXPECT_EQ(got, want.ids) << "temperature " << temperature;
  }
}

TEST_P(Metamorphic, CancelDuringPrefill) {
  const auto engine = tiny_engine(GetParam(), 7);
  GenerateOptions o;
  o.sampling.temperature = 0;
  o.ignore_end_tokens = true;
  o.max_tokens = 4;
  Session whole(engine), cut(engine);
  const std::string text =
      "<bos>Line 0: the quick brown fox jumps over the lazy dog. Line 1: the quick brown fox";
  whole.append_text(text);
  cut.append_text(text);
  const Reply want = whole.generate(o);
  engine->impl().scheduler->forget();
  int steps = 0;
  const Reply stopped = cut.generate(o, [&](const Event&) {
    if (++steps == 2) cut.cancel();
  });
  EXPECT_EQ(stopped.finish, FinishReason::kCancelled);
  EXPECT_TRUE(stopped.ids.empty());
  EXPECT_EQ(cut.generate(o).ids, want.ids);
}

// The same chat with the cache kept and from nothing; the prefix grows, is cut back inside an image, and
// starts over.
TEST_P(Metamorphic, PrefixHitEqualsCold) {
  const auto engine = tiny_engine(GetParam(), 64);
  const Media waves = tiny_media({"image", "waves.png", 70}), noise = tiny_media({"image", "noise.png", 70});
  GenerateOptions o;
  o.sampling.temperature = 0;
  o.ignore_end_tokens = true;
  o.max_tokens = 6;
  std::string words;
  for (int i = 0; i < 60; ++i) words += " word" + std::to_string(i);
  const std::vector<std::pair<std::string, std::vector<Media>>> turns = {
      {"<bos>hello <|image|> there", {waves}},
      {"<bos>hello <|image|> there and more" + words, {waves}},
      {"<bos>hello <|image|> there and less", {waves}},
      {"<bos>hello <|image|> there and less", {noise}},
      {"<bos>hello <|image|><|image|> there", {noise, waves}},
      {"<bos>hello <|image|><|image|> there" + words + words, {noise, waves}},
      {"<bos>hello <|image|><|image|> there" + words + words, {noise, waves}},
      {"<bos>hello" + words, {}}};
  Session warm(engine);
  int reused = 0;
  for (const auto& [text, media] : turns) {
    Session cold(engine);
    warm.set_prompt(text, media);
    cold.set_prompt(text, media);
    const Reply a = warm.generate(o);
    engine->impl().scheduler->forget();
    const Reply b = cold.generate(o);
    EXPECT_EQ(a.ids, b.ids) << text;
    EXPECT_EQ(b.usage.cached_tokens, 0);
    reused += a.usage.cached_tokens;
  }
  EXPECT_GT(reused, 0);
}

INSTANTIATE_TEST_SUITE_P(Cpu, Metamorphic, testing::ValuesIn(cpu_backends()),
                         [](const auto& i) { return i.param.name(); });

}  // namespace
}  // namespace tessera::test
