// How steps are shared out between replies under way and prompts, counted in steps and rows: no clock
// decides.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "support/engines.h"

namespace tessera::test {
namespace {

constexpr int kChunk = 16;
constexpr int64_t kSlack = 8;  // steps in which a reply began anew

std::shared_ptr<Engine> load(double max_step_ms, int parallel = 4) {
  EngineOptions o = cpu_options(parallel, kChunk, 2048, 1);
  o.max_step_ms = max_step_ms;
  return Engine::load(kTiny, o);
}

/// Replies that are being written until the object goes: two, so that one goes on while the other, at the end
/// of the context, begins anew. They have no reader, so that they never sit a step out.
class Decoding {
 public:
  explicit Decoding(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {
    for (const int32_t id : {305, 306}) threads_.emplace_back([this, id] { write(id); });
    while (generating() < 2) std::this_thread::yield();
  }
  ~Decoding() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void write(int32_t id) {
    while (!stop_) {
      Session session(engine_);
      session.append_tokens(std::vector<int32_t>{2, id});
      session.generate(greedy(id == 305 ? 1900 : 1300));
    }
  }
  int64_t generating() const {
    const EngineStatus status = engine_->status();
    return std::count_if(status.slots.begin(), status.slots.end(),
                         [](const SlotStatus& slot) { return slot.state == SlotStatus::State::kGenerating; });
  }

  std::shared_ptr<Engine> engine_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

struct Prompted {
  int chunks = 0;
  int64_t steps = 0, others_rows = 0;  // meanwhile
};

Prompted long_prompt(const std::shared_ptr<Engine>& engine, int length) {
  Session s(engine);
  s.append_tokens(std::vector<int32_t>(static_cast<size_t>(length), 311 + length % 50));  // nobody else's
  Prompted out;
  const EngineStatus before = engine->status();
  s.generate(greedy(1), [&](const Event& event) {
    if (event.kind == EventKind::kPrefill) ++out.chunks;
  });
  const EngineStatus after = engine->status();
  out.steps = after.steps - before.steps;
  out.others_rows = after.step_rows - before.step_rows - length;
  return out;
}

// The least time that can be asked for: a row of the prompt in each step, and a token of the other in each.
TEST(Fairness, ALongPromptGoesInSmallChunksBesideReplies) {
  const auto engine = load(1e-6);
  const Decoding other(engine);
  long_prompt(engine, 100);  // what a row takes is known then
  const Prompted p = long_prompt(engine, 301);
  EXPECT_GE(p.chunks, 300 - 2 * kChunk);
  EXPECT_GE(p.others_rows, p.steps - kSlack);
}

TEST(Fairness, WithTimeEnoughItGoesInWholeChunks) {
  const auto engine = load(1e6);
  const Decoding other(engine);
  long_prompt(engine, 100);
  const Prompted p = long_prompt(engine, 321);
  EXPECT_LE(p.chunks, 321 / kChunk + 2);
  EXPECT_GE(p.others_rows, p.steps - kSlack) << "a token in each step all the same";
}

TEST(Fairness, AloneThereIsNobodyToWaitFor) {
  EXPECT_LE(long_prompt(load(1e-6), 320).chunks, 320 / kChunk + 1);
}

// Two prompts at once: neither gets ahead of the other. Nobody reads, so that no reader's pace is in it.
TEST(Fairness, PromptsTakeTurns) {
  const auto engine = load(1e-6);
  const Decoding other(engine);
  long_prompt(engine, 100);
  std::atomic<int> left{2};
  const auto prompt = [&](int32_t id) {
    Session s(engine);
    s.append_tokens(std::vector<int32_t>(500, id));
    s.generate(greedy(1));
    --left;
  };
  std::thread first(prompt, 370), second(prompt, 371);
  int least = 1 << 20, most = -(1 << 20), seen = 0;
  while (left == 2) {
    std::vector<int> done;
    for (const SlotStatus& slot : engine->status().slots)
      if (slot.state == SlotStatus::State::kPrefilling) done.push_back(slot.held_tokens);
    if (done.size() != 2) continue;
    least = std::min(least, done[0] - done[1]);
    most = std::max(most, done[0] - done[1]);
    ++seen;
  }
  first.join();
  second.join();
  ASSERT_GT(seen, 0) << "they never ran side by side";
  EXPECT_LE(most - least, 2);
}

}  // namespace
}  // namespace tessera::test
