// Pages of full layers that several sequences have together until one of them writes.
#include "engine/kv_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "engine/kv_cache.h"
#include "engine/scheduler.h"
#include "support/engines.h"

namespace tessera::test {
namespace {

// What a block holds follows it, whoever else wrote in the meantime; pages are never lost.
TEST(KvPages, AWriteIsSeenByTheWriterOnly) {
  constexpr int64_t kSequences = 4, kBlocks = 8;
  std::mt19937 random(7);
  const auto any = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint32_t>(n)); };
  KvPages pages(kSequences, kBlocks);
  std::vector<int> want(kSequences * kBlocks, 0), memory(kSequences * kBlocks, 0);
  const auto held = [&](int64_t s, int64_t i) -> int& {
    return memory[static_cast<size_t>(pages.page(s, i))];
  };
  int64_t most_shared = 0;
  for (int step = 1; step < 5000; ++step) {
    const int64_t s = any(kSequences), i = any(kBlocks);
    if (random() % 2 == 0) {
      const int64_t from = any(kSequences);
      pages.share(s, from, i);
      want[static_cast<size_t>(s * kBlocks + i)] = want[static_cast<size_t>(from * kBlocks + i)];
    } else {
      const int32_t before = pages.own(s, i);
      if (before >= 0) held(s, i) = memory[static_cast<size_t>(before)];
      ASSERT_EQ(held(s, i), want[static_cast<size_t>(s * kBlocks + i)]) << "step " << step;
      held(s, i) = want[static_cast<size_t>(s * kBlocks + i)] = step;
    }
    std::vector<int32_t> used;
    for (int64_t b = 0; b < kSequences * kBlocks; ++b) {
      ASSERT_EQ(held(b / kBlocks, b % kBlocks), want[static_cast<size_t>(b)]) << "step " << step;
      used.push_back(pages.page(b / kBlocks, b % kBlocks));
    }
    std::sort(used.begin(), used.end());
    used.erase(std::unique(used.begin(), used.end()), used.end());
    ASSERT_EQ(static_cast<int64_t>(used.size()) + pages.shared(), kSequences * kBlocks);
    most_shared = std::max(most_shared, pages.shared());
  }
  EXPECT_GT(most_shared, kBlocks);
}

class SharedPages : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    if (GetParam().backend == "cuda" && !why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }
};

// In the cache itself: bytes of both sequences before and after either writes.
TEST_P(SharedPages, ABlockIsCopiedWhenItIsWritten) {
  const auto engine = load_case(GetParam(), kTiny, cpu_options(1, 16, 64));
  EngineImpl& e = engine->impl();
  KvCache cache(*e.backend, e.model, KvType::kBF16, 3, 640, 64);
  const auto bytes = static_cast<size_t>(cache.block_bytes(false));
  ASSERT_GT(bytes, 0U);
  const auto read = [&](int64_t sequence, int64_t index) {
    std::vector<uint8_t> out(bytes);
    cache.read_block(sequence, index, false, out.data());
    return out;
  };
  const std::vector<uint8_t> one(bytes, 0x11), two(bytes, 0x22), zero(bytes, 0);
  cache.write_block(0, 2, false, one.data());
  for (const int64_t to : {1, 2}) cache.copy_block(to, 0, 2, false);
  EXPECT_EQ(cache.shared_bytes(), 2 * static_cast<int64_t>(bytes));
  for (const int64_t s : {0, 1, 2}) EXPECT_EQ(read(s, 2), one);
  // A step that goes on inside the block keeps what is in it; one from its first position on does not care.
  StepPlan plan;
  plan.token = {5, 5}, plan.position = {39, 40}, plan.sequence = {1, 1}, plan.span_end = plan.position;
  cache.prepare(plan);
  EXPECT_EQ(cache.shared_bytes(), static_cast<int64_t>(bytes));
  EXPECT_EQ(read(1, 2), one);
  cache.write_block(1, 2, false, two.data());
  EXPECT_EQ(read(0, 2), one);
  EXPECT_EQ(read(1, 2), two);
  EXPECT_EQ(read(2, 2), one);
  cache.write_block(0, 2, false, two.data());
  EXPECT_EQ(read(2, 2), one);
  EXPECT_EQ(cache.shared_bytes(), 0);
  EXPECT_EQ(read(0, 3), zero);
}

// Kernels find shared pages, copies of them and pages of a sequence's own through the same table: logits are
// bit for bit those of a sequence that shares nothing, whoever writes first. KV in bfloat16, as most have it.
TEST_P(SharedPages, AStepReadsThemAsItsOwn) {
  constexpr int64_t kBegin = 40, kEnd = 56;  // both go on inside of block 2 and beyond it
  EngineOptions o = cpu_options(1, 64, 640);
  o.kv = "bf16";
  const auto engine = load_case(GetParam(), kTiny, o);
  EngineImpl& e = engine->impl();
  const auto token = [](int64_t position, int64_t tail) {
    return static_cast<int32_t>(300 + (position * 37 + (position < kBegin ? 0 : tail * 11)) % 500);
  };
  for (const int32_t first : {0, 1}) {
    KvCache cache(*e.backend, e.model, KvType::kBF16, 4, 640, 64);
    const auto step = [&](int32_t sequence, int64_t begin, int64_t end, int64_t tail) {
      StepPlan plan;
      for (int64_t p = begin; p < end; ++p) {
        plan.token.push_back(token(p, tail));
        plan.position.push_back(static_cast<int32_t>(p));
        plan.sequence.push_back(sequence);
      }
      plan.span_end = plan.position;
      plan.logit_row = {static_cast<int32_t>(end - begin - 1)};
      cache.prepare(plan);
      forward(*e.backend, e.model, plan, cache.layers(), *e.scratch);
      const Tensor logits = e.scratch->logits_of(0);
      std::vector<float> out(static_cast<size_t>(logits.cols));
      e.backend->read(out.data(), logits);
      return out;
    };
    step(0, 0, kBegin, 0);
    for (int64_t block = 0; block * kKvBlock < kBegin; ++block)
      for (const bool sliding : {false, true}) cache.copy_block(1, 0, block, sliding);
    EXPECT_EQ(cache.shared_bytes(), 3 * cache.block_bytes(false));
    for (const int32_t alone : {2, 3}) step(alone, 0, kBegin, 0);
    for (int64_t p = kBegin; p < kEnd; ++p)
      for (const int32_t sequence : {first, 1 - first})
        ASSERT_EQ(step(sequence, p, p + 1, 1 + sequence), step(2 + sequence, p, p + 1, 1 + sequence))
            << "sequence " << sequence << " at " << p << ", " << first << " writes first";
    EXPECT_EQ(cache.shared_bytes(), 2 * cache.block_bytes(false)) << "what lies before the last block";
  }
}

// Conversations that begin alike, at once, in more of them than slots: each gets what it gets alone, wherever
// the other ones leave the common beginning, inside of a block or at its edge.
TEST_P(SharedPages, ConversationsThatBeginAlike) {
  constexpr int kTalks = 24, kThreads = 6;
  const auto together = load_case(GetParam(), kTiny, cpu_options(4, 16, 640)),
             alone = load_case(GetParam(), kTiny, cpu_options(1, 16, 640));
  std::mt19937 random(11);
  std::vector<int32_t> base(300);
  for (int32_t& id : base) id = static_cast<int32_t>(300 + random() % 100);
  struct Talk {
    std::vector<int32_t> prompt, more;
  };
  std::vector<Talk> talks(kTalks);
  for (Talk& t : talks) {
    t.prompt.assign(base.begin(), base.begin() + 100 + random() % 200);
    for (auto* tail : {&t.prompt, &t.more})
      for (uint32_t n = 1 + random() % 20; n > 0; --n)
        tail->push_back(static_cast<int32_t>(300 + random() % 100));
  }
  const auto talk = [](const std::shared_ptr<Engine>& engine, const Talk& t) {
    Session s(engine);
    s.append_tokens(t.prompt);
    std::vector<int32_t> ids = s.generate(greedy(12)).ids;
    s.append_tokens(t.more);
    const std::vector<int32_t> second = s.generate(greedy(12)).ids;
    ids.insert(ids.end(), second.begin(), second.end());
    return ids;
  };
  std::vector<std::vector<int32_t>> want, got(kTalks);
  for (const Talk& t : talks) {
    alone->impl().scheduler->forget();
    want.push_back(talk(alone, t));
  }
  std::atomic<int> next = 0;
  std::atomic<int64_t> shared = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (int job; (job = next++) < kTalks;) {
        got[static_cast<size_t>(job)] = talk(together, talks[static_cast<size_t>(job)]);
        shared = std::max(shared.load(), together->status().kv_shared_bytes);
      }
    });
  for (std::thread& t : threads) t.join();
  for (size_t i = 0; i < talks.size(); ++i) EXPECT_EQ(got[i], want[i]) << "talk " << i;
  EXPECT_GT(shared.load(), 0);
}

// Built with TESSERA_TEST_CUDA for a card, too: alone, with layers beside it, and several where there are.
std::vector<BackendCase> shared_page_backends() {
#ifdef TESSERA_TEST_CUDA
  return composed_backends();
#else
  return {{"cpu", ""}, {"cpu", "portable", 4}, {"cpu", "portable", 1, 5}};
#endif
}

INSTANTIATE_TEST_SUITE_P(Backends, SharedPages, testing::ValuesIn(shared_page_backends()),
                         [](const auto& c) { return c.param.name(); });

}  // namespace
}  // namespace tessera::test
