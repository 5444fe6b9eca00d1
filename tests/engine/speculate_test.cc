// Replies with drafts are the replies without, whatever is drafted. The tiny checkpoint's window is 16, so
// that every longer reply crosses its edge with rejected rows in the ring.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "engine/draft_depth.h"
#include "engine/scheduler.h"
#include "support/engines.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tessera::test {
namespace {

EngineOptions tiny_options(int chunk = 4, int parallel = 1) {
  return cpu_options(parallel, chunk, 256, 1);
}

std::vector<int32_t> random_prompt(std::mt19937& random, int least, int most) {
  std::vector<int32_t> ids = {2};
  const int count = least + static_cast<int>(random() % static_cast<uint32_t>(most - least + 1));
  while (static_cast<int>(ids.size()) < count) ids.push_back(static_cast<int32_t>(24 + random() % 1000));
  return ids;
}

Reply reply_of(const std::shared_ptr<Engine>& engine, const std::vector<int32_t>& prompt,
               const GenerateOptions& options) {
  Session session(engine);
  session.append_tokens(prompt);
  return session.generate(options);
}

void expect_same(const Reply& found, const Reply& wanted) {
  EXPECT_EQ(found.ids, wanted.ids);
  EXPECT_EQ(found.text, wanted.text);
  EXPECT_EQ(found.thought, wanted.thought);
  EXPECT_EQ(found.finish, wanted.finish);
  EXPECT_EQ(found.tool_calls.size(), wanted.tool_calls.size());
}

// A drafter that is right for some tokens and then is not: never, always, or in between.
TEST(Speculate, AThousandPromptsWithRandomDraftersGiveThePlainReply) {
  const auto plain = Engine::load(kTiny, tiny_options());
  const auto drafted = Engine::load(kTiny, tiny_options());
  struct {
    std::vector<int32_t> all;  // prompt and plain reply
    int right = 0;             // drafts that are, at most
    std::mt19937 random{7};
  } oracle;
  drafted->impl().scheduler->draft_with([&](const Generation& g, int most) {
    std::vector<int32_t> drafts;
    const auto at = static_cast<size_t>(g.sequence().size());
    for (int i = 0; i < most; ++i) {
      const bool known = at + drafts.size() < oracle.all.size() && i < oracle.right;
      const auto any = static_cast<int32_t>(oracle.random() % 1024);  // control and end tokens, too
      drafts.push_back(known ? oracle.all[at + drafts.size()] : any);
    }
    return drafts;
  });
  std::mt19937 random(11);
  int64_t tokens = 0, accepted = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto prompt = random_prompt(random, 2, i % 10 == 0 ? 60 : 24);
    GenerateOptions o;
    o.sampling.temperature = i % 3 == 0 ? 0.0F : 1.0F;
    o.sampling.seed = random();
    o.ignore_end_tokens = i % 4 != 0;
    o.max_tokens = 1 + static_cast<int>(random() % 24);
    if (i % 5 == 0) o.sampling.repetition_penalty = 1.3F;
    if (i % 7 == 0) o.sampling.presence_penalty = 0.5F, o.sampling.frequency_penalty = 0.2F;
    Reply wanted = reply_of(plain, prompt, o);
    if (i % 6 == 0 && wanted.text.size() > 6) {  // a stop string that comes within some draft
      o.stop = {wanted.text.substr(wanted.text.size() / 2, 2)};
      wanted = reply_of(plain, prompt, o);
    }
    oracle.all = prompt;
    oracle.all.insert(oracle.all.end(), wanted.ids.begin(), wanted.ids.end());
    oracle.right = static_cast<int>(random() % 10);
    if (i % 2 == 0) o.top_logprobs = 0;
    const Reply found = reply_of(drafted, prompt, o);
    expect_same(found, wanted);
    EXPECT_EQ(found.stop_string, found.finish == FinishReason::kStopString ? o.stop.at(0) : "");
    const auto flagged = std::count_if(found.logprobs.begin(), found.logprobs.end(),
                                       [](const TokenLogprobs& token) { return token.drafted; });
    EXPECT_EQ(flagged, i % 2 == 0 ? found.usage.accepted_tokens : 0);
    if (testing::Test::HasFailure()) FAIL() << "prompt " << i;
    tokens += static_cast<int64_t>(found.ids.size());
    accepted += found.usage.accepted_tokens;
  }
  std::printf("%lld tokens, %lld of them accepted drafts\n", static_cast<long long>(tokens),
              static_cast<long long>(accepted));
  EXPECT_GT(accepted, tokens / 4);
}

// The tiny checkpoint's own drafter, at every depth and both positions, alone and beside others.
TEST(Speculate, TheDrafterChangesNothing) {
  const auto plain = Engine::load(kTiny, tiny_options());
  std::mt19937 random(3);
  const auto prompt = random_prompt(random, 12, 20);
  for (const int depth : {-1, 1, 3, 8})
    for (const int position : {1, 2}) {
      EngineOptions options = tiny_options(4, 3);
      options.draft_model = kTiny + "_assistant";
      options.draft = depth;
      options.draft_position = position;
      const auto engine = Engine::load(kTiny, options);
      EXPECT_EQ(engine->info().drafter, options.draft_model);
      EXPECT_GT(engine->info().drafter_weight_bytes, 200'000);
      std::vector<Reply> replies(3);
      std::vector<GenerateOptions> wanted(3);
      for (size_t i = 0; i < 3; ++i) {
        wanted[i].max_tokens = 40 + static_cast<int>(i);
        wanted[i].ignore_end_tokens = true;
        wanted[i].sampling.temperature = i == 0 ? 0.0F : 0.7F;
        wanted[i].sampling.seed = 5 + i;
      }
      std::vector<std::thread> threads;
      for (size_t i = 0; i < 3; ++i)
        threads.emplace_back([&, i] { replies[i] = reply_of(engine, prompt, wanted[i]); });
      for (std::thread& t : threads) t.join();
      for (size_t i = 0; i < 3; ++i) {
        expect_same(replies[i], reply_of(plain, prompt, wanted[i]));
        if (depth > 0) {
          EXPECT_GT(replies[i].usage.drafted_tokens, 20);
          EXPECT_LE(replies[i].usage.drafted_tokens, depth * replies[i].usage.draft_rounds);
        }
        EXPECT_LE(replies[i].usage.accepted_tokens, replies[i].usage.drafted_tokens);
      }
    }
}

// Grammars, thought budgets, biases and log-probabilities look at each token: one that came as a draft is as
// any other.
TEST(Speculate, FormatsAndLogprobsAreThoseOfThePlainReply) {
  const auto plain = Engine::load(kTiny, tiny_options());
  const auto drafted = Engine::load(kTiny, tiny_options());
  struct {
    std::vector<int32_t> all;
    int right = 0;
    std::mt19937 random{5};
  } oracle;
  drafted->impl().scheduler->draft_with([&](const Generation& g, int most) {
    std::vector<int32_t> drafts;
    for (int i = 0; i < most; ++i) {
      const auto at = static_cast<size_t>(g.sequence().size()) + drafts.size();
      const bool known = at < oracle.all.size() && i < oracle.right;
      drafts.push_back(known ? oracle.all[at] : static_cast<int32_t>(oracle.random() % 1024));
    }
    return drafts;
  });
  const auto reply_to = [](const std::shared_ptr<Engine>& engine, std::string_view prompt,
                           const GenerateOptions& o) {
    Session session(engine);
    session.set_prompt(prompt, {});
    return session.generate(o);
  };
  int64_t accepted = 0;
  for (int i = 0; i < 40; ++i) {
    GenerateOptions o;
    o.sampling.temperature = i % 3 == 0 ? 0.0F : 1.0F;
    o.sampling.seed = static_cast<uint64_t>(i);
    o.max_tokens = 60;
    o.top_logprobs = i % 4 == 0 ? 3 : -1;
    if (i % 5 == 0) o.logit_bias = {{.id = 300, .bias = 4}, {.id = 301, .bias = -100}};
    if (i % 2 == 0)
      o.format.json_schema =
          R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","yy"]},)"
          R"("c":{"type":"string","maxLength":12}},"required":["a","b","c"],"additionalProperties":false})";
    else
      o.format.tools = {
          {.name = "look", .parameters_json = R"({"type":"object","properties":{"n":{"type":"integer"}}})"}};
    if (i % 4 == 1) o.format.tool_choice = ToolChoice::kRequired;
    if (i % 3 == 1) o.reasoning_budget_tokens = 5;
    const std::string prompt = "<bos><|turn>user\nHi " + std::to_string(i) + "<turn|>\n<|turn>model\n";
    const Reply wanted = reply_to(plain, prompt, o);
    oracle.all = plain->tokenize(prompt);
    oracle.all.insert(oracle.all.end(), wanted.ids.begin(), wanted.ids.end());
    oracle.right = i % 9;
    const Reply found = reply_to(drafted, prompt, o);
    expect_same(found, wanted);
    EXPECT_EQ(found.warning, wanted.warning);
    ASSERT_EQ(found.logprobs.size(), wanted.logprobs.size());
    for (size_t n = 0; n < found.logprobs.size(); ++n) {
      EXPECT_EQ(found.logprobs[n].chosen.logprob, wanted.logprobs[n].chosen.logprob);
      ASSERT_EQ(found.logprobs[n].top.size(), wanted.logprobs[n].top.size());
      EXPECT_EQ(found.logprobs[n].top.back().id, wanted.logprobs[n].top.back().id);
    }
    if (testing::Test::HasFailure()) FAIL() << "reply " << i << ": " << wanted.text;
    accepted += found.usage.accepted_tokens;
  }
  EXPECT_GT(accepted, 400);
}

TEST(Speculate, ACancelledReplyGoesOnAsItWouldHave) {
  const auto plain = Engine::load(kTiny, tiny_options());
  EngineOptions options = tiny_options();
  options.draft_model = kTiny + "_assistant";
  options.draft = 3;
  const auto engine = Engine::load(kTiny, options);
  std::mt19937 random(9);
  const auto prompt = random_prompt(random, 30, 30);
  GenerateOptions o;
  o.max_tokens = 60;
  o.ignore_end_tokens = true;
  o.sampling.seed = 21;
  const Reply wanted = reply_of(plain, prompt, o);
  Session session(engine);
  session.append_tokens(prompt);
  std::vector<int32_t> ids;
  while (ids.size() < wanted.ids.size()) {
    o.max_tokens = static_cast<int>(wanted.ids.size() - ids.size());
    int texts = 0;
    const Reply part = session.generate(o, [&](const Event& e) {
      if (e.kind == EventKind::kText && ++texts == 3) session.cancel();
    });
    ids.insert(ids.end(), part.ids.begin(), part.ids.end());
    ASSERT_FALSE(part.ids.empty());
  }
  EXPECT_EQ(ids, wanted.ids);
}

TEST(Speculate, TheDrafterBesideTheModelIsFoundAndAnotherModelsIsNamed) {
  namespace fs = std::filesystem;
  TempDir dir;
  fs::copy(kTiny, dir.path(), fs::copy_options::recursive);
  fs::copy(kTiny + "_assistant", dir.path() + "/assistant");
  const auto engine = Engine::load(dir.path(), tiny_options());
  EXPECT_EQ(engine->info().drafter, dir.path() + "/assistant");
  EXPECT_EQ(engine->info().note, "");
  EXPECT_EQ(inspect_model(dir.path()).drafter, dir.path() + "/assistant");
  EngineOptions off = tiny_options();
  off.draft = 0;
  EXPECT_EQ(Engine::load(dir.path(), off)->info().drafter, "");

  // Of a model with another hidden size: noted when found, refused when named.
  std::string config = read_text_file(dir.path() + "/assistant/config.json", 1 << 20);
  config.replace(config.find("\"backbone_hidden_size\": 64"), 26, "\"backbone_hidden_size\": 80");
  write_file(dir.path() + "/assistant/config.json",
             {reinterpret_cast<const uint8_t*>(config.data()), config.size()});
  const auto without = Engine::load(dir.path(), tiny_options());
  EXPECT_EQ(without->info().drafter, "");
  EXPECT_NE(without->info().note.find("hidden size is 80"), std::string::npos) << without->info().note;
  EngineOptions named = tiny_options();
  named.draft_model = dir.path() + "/assistant";
  expect_error(ErrorKind::kBadModel, {"assistant", "hidden size is 80", "64", "not the drafter"},
               [&] { Engine::load(kTiny, named); });
  named.draft_model = kTiny;
  expect_error(ErrorKind::kBadModel, {"not a drafter"}, [&] { Engine::load(kTiny, named); });
  expect_error(ErrorKind::kBadModel, {"is a drafter", "--draft-model"},
               [&] { Engine::load(kTiny + "_assistant", tiny_options()); });
}

/// Milliseconds a token over `tokens` tokens of a machine with these costs, drafts accepted with `share`.
double simulate(double share, double draft_ms, double row_ms, int tokens) {
  DraftDepth depth;
  DraftCosts costs;
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  double ms = 0;
  for (int done = 0; done < tokens;) {
    const int k = depth.choose(costs, kMaxDraft);
    const double step = 1 + k * row_ms;
    ms += step + k * draft_ms;
    costs.record_step(k, step);
    if (k > 0) costs.record_draft(draft_ms);
    int accepted = 0;
    while (accepted < k && uniform(random) < share) ++accepted;
    if (k > 0) depth.record(k, accepted);
    done += accepted + 1;
  }
  return ms / tokens;
}

TEST(DraftDepth, IsNeverMuchSlowerThanPlainAndNearTheBestFixedDepth) {
  for (const double draft : {0.02, 0.1, 0.3, 1.0})
    for (const double row : {0.01, 0.1, 0.5})
      for (const double share : {0.0, 0.3, 0.6, 0.9}) {
        double best = 1;
        for (int k = 1; k <= kMaxDraft; ++k) {
          double expected = 1, all = 1;
          for (int d = 0; d < k; ++d) expected += all *= share;
          best = std::min(best, (1 + k * (row + draft)) / expected);
        }
        EXPECT_LE(simulate(share, draft, row, 2000), 1.02) << draft << " " << row << " " << share;
        EXPECT_LE(simulate(share, draft, row, 20'000), 1.1 * best) << draft << " " << row << " " << share;
      }
}

TEST(DraftDepth, DraftsAgainWhenTheyBeginToBeAccepted) {
  DraftDepth depth;
  DraftCosts costs;
  for (int i = 0; i < 4; ++i) costs.record_step(0, 1), costs.record_draft(0.1), costs.record_step(1, 1.05);
  const auto drafts = [&](int rounds, bool right) {
    int sum = 0;
    for (int i = 0; i < rounds; ++i)
      if (const int k = depth.choose(costs, kMaxDraft); k > 0) depth.record(k, right ? k : 0), sum += k;
    return sum;
  };
  drafts(200, false);
  EXPECT_LT(drafts(200, false), 8);
  EXPECT_GT(drafts(3000, true), 3000);
}

}  // namespace
}  // namespace tessera::test
