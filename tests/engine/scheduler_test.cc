// Many sessions on one engine: each gets what it gets alone, nobody waits for a slow reader or a long prompt,
// and what goes wrong for one leaves the others alone.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <random>
#include <thread>

#include "base/error.h"
#include "support/engines.h"

namespace tessera::test {
namespace {

std::shared_ptr<Engine> load(int parallel, int chunk = 16, int max_queue = 100) {
  EngineOptions o = cpu_options(parallel, chunk, 640);
  o.max_queue = max_queue;
  return Engine::load(kTiny, o);
}

std::vector<int32_t> random_ids(std::mt19937& random, int count) {
  std::vector<int32_t> ids = {2};
  while (static_cast<int>(ids.size()) < count) ids.push_back(300 + static_cast<int32_t>(random() % 700));
  return ids;
}

struct Job {
  std::vector<int32_t> prompt;
  bool picture = false;
  GenerateOptions options;
};

Job random_job(uint32_t seed) {
  std::mt19937 random(seed);
  Job job;
  job.prompt = random_ids(random, 1 + static_cast<int>(random() % 90));
  job.picture = random() % 4 == 0;
  job.options.sampling.temperature = random() % 2 == 0 ? 0.0F : 1.0F;
  job.options.sampling.seed = seed;
  job.options.sampling.frequency_penalty = random() % 3 == 0 ? 0.4F : 0.0F;
  job.options.max_tokens = 1 + static_cast<int>(random() % 24);
  job.options.ignore_end_tokens = true;
  return job;
}

void fill(Session& s, const Job& job) {
  s.append_tokens(job.prompt);
  if (job.picture) s.append_media(tiny_media({"image", "waves.png", 70}));
  if (job.picture) s.append_tokens(std::vector<int32_t>{305, 306});
}

std::vector<int32_t> reply_to(const std::shared_ptr<Engine>& engine, const Job& job) {
  Session s(engine);
  fill(s, job);
  return s.generate(job.options).ids;
}

// Random joins, lengths, pictures and cancels; the bits of the cpu backend do not depend on a row's company.
TEST(Scheduler, ABatchGivesEachWhatItGetsAlone) {
  constexpr uint32_t kJobs = 48;
  const auto alone = load(1), together = load(5);
  std::vector<std::vector<int32_t>> want(kJobs), got(kJobs);
  for (uint32_t i = 0; i < kJobs; ++i) want[i] = reply_to(alone, random_job(i));
  std::atomic<uint32_t> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 9; ++t)
    threads.emplace_back([&] {
      for (uint32_t i; (i = next++) < kJobs;) {
        const Job job = random_job(i);
        Session s(together);
        fill(s, job);
        uint32_t events = 0;
        do {  // cancelled now and then, and gone on from
          GenerateOptions o = job.options;
          o.max_tokens -= static_cast<int>(got[i].size());
          const Reply part = s.generate(o, [&](const Event&) {
            if (i % 3 == 0 && ++events % 7 == 0) s.cancel();
          });
          got[i].insert(got[i].end(), part.ids.begin(), part.ids.end());
        } while (static_cast<int>(got[i].size()) < job.options.max_tokens);
      }
    });
  for (std::thread& t : threads) t.join();
  for (uint32_t i = 0; i < kJobs; ++i) EXPECT_EQ(got[i], want[i]) << "job " << i;
  const EngineStatus status = together->status();
  EXPECT_GE(status.requests, kJobs);
  EXPECT_GT(status.step_rows, status.steps) << "nothing was batched";
  EXPECT_EQ(status.queued, 0);
  for (const SlotStatus& slot : status.slots) EXPECT_EQ(slot.state, SlotStatus::State::kIdle);
}

// Rows for drafts, right or wrong, are verified in one step and leave no trace; also where the ring of the
// sliding layers turns over.
TEST(Scheduler, DraftsDoNotChangeTheReply) {
  const auto engine = load(1, 64);
  EngineImpl& e = engine->impl();
  for (uint32_t seed = 0; seed < 24; ++seed) {
    std::mt19937 random(seed);
    Job job = random_job(seed);
    job.options.max_tokens = 60;
    e.scheduler->forget();
    const std::vector<int32_t> want = reply_to(engine, job);
    Sequence sequence(e.config, e.tokenizer);
    sequence.append_tokens(job.prompt);
    if (job.picture) sequence.append_media(tiny_media({"image", "waves.png", 70}));
    if (job.picture) sequence.append_tokens(std::vector<int32_t>{305, 306});
    Generation generation(e, sequence, sequence.size(), job.options);
    KvCache cache(*e.backend, e.model, KvType::kF32, 1, 640, e.max_step_tokens());
    KvSlot slot;
    generation.start(0, slot);
    StepPlan plan;
    int steps = 0;
    for (; generation.state() != Generation::State::kFinished; ++steps) {
      if (generation.state() == Generation::State::kDecoding) {
        const size_t done = generation.reply().ids.size();
        std::vector<int32_t> drafts(want.begin() + static_cast<int64_t>(done), want.end());
        drafts.resize(random() % (kMaxDecodeRows + 1), 400);
        if (!drafts.empty() && random() % 2 == 0) drafts[random() % drafts.size()] = 401;
        generation.propose(drafts);
      }
      plan.clear();
      const int64_t rows = generation.next_rows(64);
      generation.add_rows(plan, 64);
      ASSERT_EQ(plan.rows(), rows);
      forward(*e.backend, e.model, plan, cache.layers(), *e.scratch);
      generation.take();
      ASSERT_LE(static_cast<int64_t>(slot.held.size()), sequence.size());
    }
    EXPECT_EQ(generation.reply().ids, want) << "seed " << seed;
    EXPECT_LT(steps, 60) << "no draft was taken";
  }
}

// A caller that does not return from on_event keeps its slot and nothing else.
TEST(Scheduler, ASlowReaderHoldsUpOnlyItself) {
  const auto engine = load(2);
  std::promise<void> entered, release;
  std::thread slow([&] {
    Session s(engine);
    s.append_tokens(std::vector<int32_t>{2, 305, 306});
    GenerateOptions o;
    o.max_tokens = 50;
    o.ignore_end_tokens = true;
    bool first = true;
    const Reply r = s.generate(o, [&](const Event&) {
      if (!std::exchange(first, false)) return;
      entered.set_value();
      release.get_future().wait();
    });
    EXPECT_EQ(r.ids.size(), 50U);
  });
  entered.get_future().wait();
  for (uint32_t i = 0; i < 4; ++i) EXPECT_FALSE(reply_to(engine, random_job(i)).empty());
  const EngineStatus status = engine->status();
  int running = 0;
  for (const SlotStatus& slot : status.slots) running += slot.state != SlotStatus::State::kIdle ? 1 : 0;
  EXPECT_EQ(running, 1);
  release.set_value();
  slow.join();
}

TEST(Scheduler, WhatACallerThrowsEndsItsReply) {
  const auto engine = load(1);
  Session s(engine);
  s.append_tokens(std::vector<int32_t>{2, 305, 306});
  GenerateOptions o;
  o.ignore_end_tokens = true;
  EXPECT_THROW(s.generate(o, [](const Event&) { throw std::runtime_error("the client is gone"); }),
               std::runtime_error);
  EXPECT_LT(s.tokens(), 8);
  o.max_tokens = 3;
  EXPECT_EQ(s.generate(o).ids.size(), 3U);
}

TEST(Scheduler, AFullQueueRefuses) {
  const auto engine = load(1, 16, 1);
  std::promise<void> entered, release;
  const std::shared_future<void> released = release.get_future().share();
  GenerateOptions o;
  o.max_tokens = 9;
  o.ignore_end_tokens = true;
  std::thread first([&] {
    Session s(engine);
    s.append_tokens(std::vector<int32_t>{2, 305});
    bool once = true;
    s.generate(o, [&](const Event&) {
      if (std::exchange(once, false)) entered.set_value();
      released.wait();
    });
  });
  entered.get_future().wait();
  std::thread second([&] {
    Session s(engine);
    s.append_tokens(std::vector<int32_t>{2, 306});
    EXPECT_EQ(s.generate(o).ids.size(), 9U);
  });
  while (engine->status().queued == 0) std::this_thread::yield();
  Session third(engine);
  third.append_tokens(std::vector<int32_t>{2, 307});
  try {
    third.generate(o);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBusy) << e.what();
  }
  EXPECT_EQ(engine->status().refused, 1);
  release.set_value();
  first.join();
  second.join();
  EXPECT_EQ(third.generate(o).ids.size(), 9U);
}

// A request whose time is over while it waits, and one that is cancelled there, come back at once.
TEST(Scheduler, TimeLimitAndCancelWhileWaiting) {
  const auto engine = load(1);
  std::promise<void> entered, release;
  GenerateOptions o;
  o.max_tokens = 9;
  o.ignore_end_tokens = true;
  std::thread first([&] {
    Session s(engine);
    s.append_tokens(std::vector<int32_t>{2, 305});
    bool once = true;
    s.generate(o, [&](const Event&) {
      if (!std::exchange(once, false)) return;
      entered.set_value();
      release.get_future().wait();
    });
  });
  entered.get_future().wait();
  GenerateOptions limited = o;
  limited.timeout_ms = 5;
  Session late(engine), unwanted(engine);
  late.append_tokens(std::vector<int32_t>{2, 306});
  const Reply r = late.generate(limited);
  EXPECT_EQ(r.finish, FinishReason::kTimeLimit);
  EXPECT_TRUE(r.ids.empty());
  EXPECT_GE(r.usage.queued_ms, 4);
  unwanted.append_tokens(std::vector<int32_t>{2, 306});
  std::thread canceller([&] {
    while (engine->status().queued == 0) std::this_thread::yield();
    unwanted.cancel();
  });
  EXPECT_EQ(unwanted.generate(o).finish, FinishReason::kCancelled);
  canceller.join();
  release.set_value();
  first.join();
}

TEST(Scheduler, SessionsShareWhatASlotHolds) {
  const auto engine = load(2);
  std::mt19937 random(1);
  const std::vector<int32_t> prompt = random_ids(random, 40);
  GenerateOptions o;
  o.max_tokens = 4;
  o.ignore_end_tokens = true;
  o.sampling.temperature = 0;
  Session a(engine), b(engine);
  a.append_tokens(prompt);
  b.append_tokens(prompt);
  const Reply first = a.generate(o), again = b.generate(o);
  EXPECT_EQ(first.usage.cached_tokens, 0);
  EXPECT_EQ(again.usage.cached_tokens, 39);
  EXPECT_EQ(again.ids, first.ids);
  // Another prompt goes to the other slot; the first one's conversation is still there.
  Session c(engine);
  c.append_tokens(random_ids(random, 40));
  EXPECT_EQ(c.generate(o).usage.cached_tokens, 0);
  const std::vector<int32_t> more = {310, 311};
  b.append_tokens(more);
  EXPECT_EQ(b.generate(o).usage.cached_tokens, 43);
}

}  // namespace
}  // namespace tessera::test
