// Replies that are held to a format, end to end: random weights have no wish to write JSON.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "support/engines.h"
#include "support/expect_error.h"

namespace tessera {
namespace {

constexpr const char* kSchema =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":12},"n":{"type":"integer","minimum":0,"maximum":99},"kind":{"enum":["cat","dog"]}},"required":["name","n","kind"]})";

std::shared_ptr<Engine> engine() {
  return test::tiny_engine({"cpu", ""});
}

GenerateOptions options(uint64_t seed, int max_tokens = 200) {
  GenerateOptions o;
  o.sampling.temperature = seed % 2 == 0 ? 1.0F : 0.0F;
  o.sampling.top_k = seed % 3 == 0 ? 0 : 64;
  o.sampling.seed = seed;
  o.max_tokens = max_tokens;
  return o;
}

Reply reply_to(std::string_view prompt, const GenerateOptions& o,
               const std::function<void(const Event&)>& on_event = {}) {
  Session session(engine());
  session.set_prompt(prompt, {});
  return session.generate(o, on_event);
}

constexpr std::string_view kPlain =
    "<bos><|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>";
constexpr std::string_view kThinking = "<bos><|turn>user\nHi<turn|>\n<|turn>model\n";

TEST(Format, ARandomModelWritesWhatTheSchemaAsksFor) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    GenerateOptions o = options(seed);
    o.format.json_schema = kSchema;
    if (seed % 4 == 3) o.sampling.repetition_penalty = 1.3F;  // edits that may not be made twice
    if (seed % 4 == 1) o.sampling.presence_penalty = 1.0F;
    const Reply reply = reply_to(kPlain, o);
    SCOPED_TRACE(reply.text);
    ASSERT_EQ(reply.finish, FinishReason::kStop);
    const auto value = nlohmann::json::parse(reply.text);
    EXPECT_TRUE(value["name"].is_string());
    EXPECT_TRUE(value["n"].is_number_integer() && value["n"] >= 0 && value["n"] <= 99);
    EXPECT_TRUE(value["kind"] == "cat" || value["kind"] == "dog");
    EXPECT_TRUE(reply.warning.empty());
    EXPECT_EQ(reply_to(kPlain, o).ids, reply.ids) << "the same seed, the same reply";
  }
}

TEST(Format, TheFormatChangesNothingThatTheModelWouldDoAnyway) {
  // A schema that takes what was drawn freely: masks must not change the draw.
  for (uint64_t seed = 0; seed < 6; ++seed) {
    GenerateOptions free = options(seed, 12);
    free.logit_bias = {{*engine()->impl().tokenizer.find("<turn|>"), -100}};
    const Reply drawn = reply_to(kPlain, free);
    GenerateOptions held = free;
    held.reasoning_budget_tokens = 1000;
    EXPECT_EQ(reply_to(kPlain, held).ids, drawn.ids);
  }
}

TEST(Format, CallsAreReadableAndNamedAsGiven) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    GenerateOptions o = options(seed);
    o.format.tools = {
        {"get",
         R"({"type":"object","properties":{"city":{"type":"string","maxLength":8},"n":{"type":"integer"}},"required":["city"]})"},
        {"now", R"({"type":"object","additionalProperties":false})"}};
    o.format.tool_choice = ToolChoice::kRequired;
    o.format.parallel_tool_calls = false;
    if (seed % 2 == 0) o.format.tool_name = "get";
    const Reply reply = reply_to(kPlain, o);
    ASSERT_EQ(reply.finish, FinishReason::kToolCall);
    ASSERT_EQ(reply.tool_calls.size(), 1U);
    const ToolCall& call = reply.tool_calls[0];
    EXPECT_TRUE(call.parsed && reply.text.empty()) << reply.text;
    EXPECT_TRUE(call.name == "get" || (seed % 2 != 0 && call.name == "now"));
    const auto arguments = nlohmann::json::parse(call.arguments_json);
    EXPECT_EQ(arguments.contains("city"), call.name == "get");
  }
}

TEST(Format, AReplyThatIsCutOffSaysSo) {
  GenerateOptions o = options(2, 3);
  o.format.json_schema = kSchema;
  const Reply reply = reply_to(kPlain, o);
  EXPECT_EQ(reply.finish, FinishReason::kLength);
  EXPECT_NE(reply.warning.find("length"), std::string::npos) << reply.warning;
}

TEST(Format, AThoughtEndsWithItsBudget) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    GenerateOptions o = options(seed, 400);
    o.reasoning_budget_tokens = 7;
    o.format.json_schema = kSchema;
    const Reply reply = reply_to(std::string(kThinking) + "<|channel>thought\n", o);
    const int32_t close = *engine()->impl().tokenizer.find("<channel|>");
    const auto at = std::find(reply.ids.begin(), reply.ids.end(), close) - reply.ids.begin();
    EXPECT_LE(at, 7);
    EXPECT_EQ(reply.finish, FinishReason::kStop);
    EXPECT_TRUE(nlohmann::json::accept(reply.text)) << reply.text;
  }
}

TEST(Format, OptionsOutOfRangeAreRefused) {
  const auto refused = [](const std::vector<std::string>& words, auto change) {
    GenerateOptions o = options(1);
    change(o);
    expect_error(ErrorKind::kBadRequest, words, [&] { reply_to(kPlain, o); });
  };
  refused({"top_logprobs", "21"}, [](auto& o) { o.top_logprobs = 21; });
  refused({"min_tokens", "-1"}, [](auto& o) { o.min_tokens = -1; });
  refused({"logit bias", "1000000"}, [](auto& o) { o.logit_bias = {{1'000'000, 1}}; });
  refused({"logit bias", "expected"}, [](auto& o) { o.logit_bias = {{-1, 1}}; });
  refused({"logit bias", "101"}, [](auto& o) { o.logit_bias = {{5, 101}}; });
  refused({"logit bias", "twice"}, [](auto& o) { o.logit_bias = {{5, 1}, {5, 2}}; });
  refused({"json_schema at #", "\"not\""}, [](auto& o) { o.format.json_schema = R"({"not":{}})"; });
}

TEST(Format, BiasAndMinimumTokens) {
  const auto& tokenizer = engine()->impl().tokenizer;
  const int32_t e = *tokenizer.find("e"), end = *tokenizer.find("<turn|>");
  GenerateOptions o = options(2, 20);
  o.logit_bias = {{e, 100}};
  EXPECT_EQ(reply_to(kPlain, o).ids, std::vector<int32_t>(20, e));
  o.logit_bias = {{e, -100}};
  for (const int32_t id : reply_to(kPlain, o).ids) EXPECT_NE(id, e);
  o.logit_bias = {{end, 100}};
  EXPECT_EQ(reply_to(kPlain, o).ids.size(), 1U);
  o.min_tokens = 5;
  const Reply longer = reply_to(kPlain, o);
  EXPECT_EQ(longer.ids.size(), 6U);
  EXPECT_EQ(longer.finish, FinishReason::kStop);
}

TEST(Format, LogprobsAreThoseOfTheModel) {
  GenerateOptions o = options(2, 15);
  o.top_logprobs = 3;
  std::vector<TokenLogprobs> streamed;
  const Reply reply = reply_to(kPlain, o, [&](const Event& event) {
    EXPECT_TRUE(event.logprobs.empty() || event.kind == EventKind::kText);
    streamed.insert(streamed.end(), event.logprobs.begin(), event.logprobs.end());
  });
  ASSERT_EQ(reply.logprobs.size(), reply.ids.size());
  std::string text;
  size_t answers = 0;
  for (size_t i = 0; i < reply.ids.size(); ++i) {
    const TokenLogprobs& p = reply.logprobs[i];
    EXPECT_EQ(p.chosen.id, reply.ids[i]);
    ASSERT_EQ(p.top.size(), 3U);
    EXPECT_LE(p.chosen.logprob, p.top[0].logprob);
    EXPECT_TRUE(p.top[0].logprob >= p.top[1].logprob && p.top[1].logprob >= p.top[2].logprob &&
                p.top[0].logprob <= 0);
    answers += p.in_answer;
    if (p.in_answer) text += p.chosen.bytes;
  }
  EXPECT_LE(streamed.size(), answers);
  EXPECT_TRUE(std::string_view(text).starts_with(reply.text) ||
              reply.text.find("\xEF\xBF\xBD") != std::string::npos)
      << text;
  // Neither bias nor temperature changes them, and asking for them changes no draw.
  GenerateOptions other = o;
  other.logit_bias = {{reply.ids[0], 100}};
  const Reply biased = reply_to(kPlain, other);
  EXPECT_EQ(biased.logprobs[0].chosen.logprob, reply.logprobs[0].chosen.logprob);
  other = o;
  other.top_logprobs = -1;
  EXPECT_EQ(reply_to(kPlain, other).ids, reply.ids);
  // All of the vocabulary sums to one: the tail beyond the top is what is left.
  double sum = 0;
  for (const TokenLogprob& t : reply.logprobs[0].top) sum += std::exp(t.logprob);
  EXPECT_LE(sum, 1.0 + 1e-5);
}

}  // namespace
}  // namespace tessera
