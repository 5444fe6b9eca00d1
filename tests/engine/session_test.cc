// generate(): ends, limits, events, usage, errors with numbers.
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "support/engines.h"
#include "support/message_of.h"

namespace tessera::test {
namespace {

std::shared_ptr<Engine> engine() {
  return tiny_engine({"cpu", ""}, 64, 2, 256);
}

TEST(Session, EmptyPromptIsAnError) {
  Session s(engine());
  message_of([&] { s.generate(greedy(1)); }, ErrorKind::kBadRequest);
}

TEST(Session, PromptLongerThanTheContextNamesBothNumbers) {
  Session s(engine());
  s.append_tokens(std::vector<int32_t>(300, 305));
  const std::string message = message_of([&] { s.generate(greedy(1)); }, ErrorKind::kTooLarge);
  EXPECT_NE(message.find("300"), std::string::npos) << message;
  EXPECT_NE(message.find("256"), std::string::npos) << message;
}

TEST(Session, StopsWhenTheContextIsFull) {
  Session s(engine());
  s.append_tokens(std::vector<int32_t>(250, 305));
  const Reply r = s.generate(greedy(0));
  EXPECT_EQ(r.finish, FinishReason::kContextFull);
  EXPECT_EQ(r.ids.size(), 6U);
  EXPECT_EQ(s.tokens(), 256);
}

TEST(Session, MaxTokensAndUsage) {
  Session s(engine());
  s.append_text("<bos>Flight BA 117");
  int last_done = 0, total = 0;
  std::string streamed;
  const Reply r = s.generate(greedy(5), [&](const Event& e) {
    if (e.kind == EventKind::kPrefill) {
      EXPECT_GE(e.prefill_done, last_done);
      last_done = e.prefill_done;
      total = e.prefill_total;
    }
    if (e.kind == EventKind::kText) streamed += e.text;
  });
  EXPECT_EQ(r.finish, FinishReason::kLength);
  EXPECT_EQ(r.usage.completion_tokens, 5);
  EXPECT_EQ(r.usage.prompt_tokens, s.tokens() - 5);
  EXPECT_EQ(last_done, total);
  EXPECT_EQ(total, r.usage.prompt_tokens);
  EXPECT_EQ(streamed, r.text);
  EXPECT_GT(r.usage.prefill_ms, 0);
  EXPECT_GT(r.usage.generate_per_s(), 0);
}

// Whatever the model would say first is made an end token: the reply ends there, and says so.
TEST(Session, EndTokenEndsTheReply) {
  const auto first = [&] {
    Session s(engine());
    s.append_text("<bos>Hello");
    return s.generate(greedy(1)).ids.at(0);
  }();
  std::vector<int32_t>& ends = engine()->impl().config.end_tokens;
  ends.push_back(first);
  Session s(engine());
  s.append_text("<bos>Hello");
  GenerateOptions o = greedy(20);
  o.ignore_end_tokens = false;
  const Reply r = s.generate(o);
  ends.pop_back();
  EXPECT_EQ(r.finish, FinishReason::kStop);
  EXPECT_EQ(r.ids, std::vector{first});
}

TEST(Session, StopStringCutsTheText) {
  Session s(engine());
  s.append_text("<bos>Hello");
  const Reply whole = s.generate(greedy(30));
  ASSERT_GT(whole.text.size(), 8U);
  const std::string stop = whole.text.substr(4, 3);
  GenerateOptions o = greedy(30);
  o.stop = {stop};
  Session t(engine());
  t.append_text("<bos>Hello");
  const Reply cut = t.generate(o);
  EXPECT_EQ(cut.finish, FinishReason::kStopString);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(stop)));
}

TEST(Session, SuppressedTokensNeverAppear) {
  const auto& suppressed = engine()->impl().config.suppressed_tokens;
  ASSERT_FALSE(suppressed.empty());
  GenerateOptions o;
  o.ignore_end_tokens = true;
  o.sampling.temperature = 5;
  o.sampling.top_k = 0;
  o.sampling.top_p = 1;
  o.sampling.seed = 3;
  o.max_tokens = 200;
  Session s(engine());
  s.append_text("<bos>");
  for (const int32_t id : s.generate(o).ids)
    EXPECT_EQ(std::count(suppressed.begin(), suppressed.end(), id), 0) << id;
}

// Several sessions from several threads: each gets what it gets alone.
TEST(Session, SessionsOfOneEngineTakeTurns) {
  const auto reply = [](int i) {
    Session s(engine());
    s.append_text("<bos>Line " + std::to_string(i) + ": the quick");
    return s.generate(greedy(8)).ids;
  };
  std::vector<std::vector<int32_t>> alone, together(4);
  for (int i = 0; i < 4; ++i) alone.push_back(reply(i));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { together[static_cast<size_t>(i)] = reply(i); });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(alone, together);
}

TEST(Engine, BadOptionsAreRefused) {
  const auto load = [](auto change) {
    return message_of(
        [&] {
          EngineOptions o;
          change(o);
          Engine::load(kTiny, o);
        },
        ErrorKind::kBadRequest);
  };
  EXPECT_NE(load([](EngineOptions& o) { o.backend = "tpu"; }).find("tpu"), std::string::npos);
  EXPECT_NE(load([](EngineOptions& o) { o.context_tokens = 1 << 20; }).find("4096"), std::string::npos);
  load([](EngineOptions& o) { o.chunk_tokens = -1; });
  EXPECT_NE(load([](EngineOptions& o) { o.device = -1; }).find("device is -1"), std::string::npos);
  load([](EngineOptions& o) {
    o.backend = "cpu";
    o.isa = "mmx";
  });
}

// "auto" goes on without a card; "cuda" says why it cannot.
TEST(Engine, WithoutACardCudaSaysWhy) {
  if (why_no_cuda().empty()) return;  // tests/gpu are for this machine
  const auto load = [](const char* backend) {
    EngineOptions o;
    o.backend = backend;
    return Engine::load(kTiny, o);
  };
  EXPECT_NE(message_of([&] { load("cuda"); }, ErrorKind::kDevice).find("--backend cpu"), std::string::npos);
  const auto engine = load("auto");
  EXPECT_EQ(engine->options().backend, "cpu");
  EXPECT_NE(engine->backend().find(why_no_cuda()), std::string::npos);
}

}  // namespace
}  // namespace tessera::test
