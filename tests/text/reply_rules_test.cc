// Replies held against their rules, token by token: thought, answer, calls.
#include "text/reply_rules.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "fixtures.h"
#include "support/expect_error.h"
#include "text/call_parser.h"

namespace tessera {
namespace {

using test::below;
using test::Random;
using test::tiny;
using Mode = ReplyRules::State::Mode;

std::shared_ptr<const TokenTrie> trie() {
  static const auto made = std::make_shared<const TokenTrie>(tiny());
  return made;
}

std::vector<int32_t> ends() {
  return {*tiny().find("<turn|>"), *tiny().find("<eos>"), *tiny().find("<|tool_response>")};
}

bool may(const ReplyRules::Allowed& allowed, int32_t id) {
  const bool banned = std::find(allowed.banned.begin(), allowed.banned.end(), id) != allowed.banned.end();
  return !banned &&
         (!allowed.restricted || (allowed.only[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0);
}

// How much of `reply` the rules let through: all of it, or up to the token that is not allowed.
std::string taken(const ReplyRules& rules, std::string_view prompt, std::string_view reply,
                  bool in_thought = false) {
  ReplyRules::State s = rules.start(tiny().encode(prompt), in_thought);
  ReplyRules::Allowed allowed;
  std::string out;
  for (const int32_t id : tiny().encode(reply)) {
    rules.allowed(s, allowed);
    if (!may(allowed, id)) return out;
    s = rules.advance(s, id);
    out += tiny().token_bytes(id);
  }
  return out;
}

ReplyRules rules(const ReplyFormat& format, int budget = -1) {
  return ReplyRules(format, budget, tiny(), trie(), ends());
}

constexpr std::string_view kThinking = "<|turn>user\nHi<turn|>\n<|turn>model\n";
constexpr std::string_view kPlain = "<|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>";
constexpr const char* kSchema = R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})";

std::vector<ToolDeclaration> tools() {
  return {{"get", R"({"type":"object","properties":{"city":{"type":"string"}},"required":["city"]})"},
          {"now", ""}};
}

struct Row {
  std::string_view prompt, reply;
  std::string_view through;  // "" with `whole`: all of it
  bool whole = true;
};

void check(const ReplyRules& r, const std::vector<Row>& rows) {
  for (const Row& row : rows)
    EXPECT_EQ(taken(r, row.prompt, row.reply), row.whole ? row.reply : row.through) << row.reply;
}

TEST(ReplyRules, ASchemaBindsTheAnswerAndNotTheThought) {
  ReplyFormat f;
  f.json_schema = kSchema;
  check(rules(f),
        {
            {kPlain, R"({"a":1}<turn|>)", ""},
            {kPlain, R"({"a": 12}<eos>)", ""},
            {kPlain, R"({"a":1} )", R"({"a":1})", false},
            {kPlain, R"({"a"<turn|>)", R"({"a")", false},
            {kPlain, "Sure", "", false},
            {kPlain, "<turn|>", "", false},
            {kPlain, "<|channel>thought\n", "", false},  // thinking is off
            {kPlain, "<|tool_call>", "", false},
            {kThinking, R"({"a":1}<turn|>)", ""},
            {kThinking, "<|channel>thought\nAny {text} here\n<channel|>{\"a\":1}<turn|>", ""},
            {kThinking, "<|channel>thought\nhm<turn|>", "<|channel>thought\nhm", false},
            {kThinking, "<|channel>thought\n<channel|><|channel>", "<|channel>thought\n<channel|>", false},
            {kThinking, "<|channel>final", "<|channel>", false},
            {"raw text", R"({"a":1}<turn|>)", ""},
        });
  EXPECT_EQ(taken(rules(f), "x", "thinking<channel|>{\"a\":1}", true), "thinking<channel|>{\"a\":1}");
  ReplyFormat object;
  object.json_object = true;
  check(rules(object), {{kPlain, R"({"any":[1,{"x":null}]}<turn|>)", ""}, {kPlain, "[", "", false}});
}

TEST(ReplyRules, CallsHaveTheirToolsNamesAndArguments) {
  ReplyFormat f;
  f.tools = tools();
  const std::string_view good = "<|tool_call>call:get{city:<|\"|>Paris<|\"|>}<tool_call|>";
  const std::string two = std::string(good) + "<|tool_call>call:now{a:1}<tool_call|><|tool_response>";
  const std::vector<Row> calls = {
      {kPlain, good, ""},
      {kPlain, two, ""},
      {kPlain, "<|tool_call>call:got", "<|tool_call>call:g", false},
      {kPlain, "<|tool_call>call:get{city:P", "<|tool_call>call:get{city:", false},
      {kPlain, "<|tool_call>call:get{}", "<|tool_call>call:get{", false},
      {kPlain, "<|tool_call>call:get<tool_call|>", "<|tool_call>call:get", false},
      {kPlain, "<|tool_call>call:now{}<tool_call|>text", "<|tool_call>call:now{}<tool_call|>", false},
  };
  check(rules(f), calls);
  check(rules(f), {{kPlain, "Free text.<turn|>", ""},
                   {kPlain, "Text<|tool_call>call:now{}<tool_call|><turn|>", ""},
                   {kThinking, "<|channel>thought\nx<channel|>ok<turn|>", ""}});
  f.tool_choice = ToolChoice::kRequired;
  check(rules(f), calls);
  check(rules(f),
        {{kPlain, "Free", "", false},
         {kPlain, "<turn|>", "", false},
         {kThinking, "<|channel>thought\nx<channel|><|tool_call>call:now{}<tool_call|><turn|>", ""}});
  f.parallel_tool_calls = false;
  check(rules(f), {{kPlain, two, good, false}});
  f.tool_name = "now";
  check(rules(f), {{kPlain, "<|tool_call>call:get", "<|tool_call>call:", false},
                   {kPlain, "<|tool_call>call:now{}<tool_call|><turn|>", ""}});
  f = {};
  f.tool_choice = ToolChoice::kNone;
  check(rules(f), {{kPlain, "Free<|tool_call>", "Free", false}, {kPlain, "Free<turn|>", ""}});
  f.tool_choice = ToolChoice::kAuto;
  f.tools = tools();
  f.json_schema = kSchema;
  check(rules(f), {{kPlain, good, ""}, {kPlain, R"({"a":1}<turn|>)", ""}, {kPlain, "Free", "", false}});
}

TEST(ReplyRules, AThoughtIsClosedWhenItsBudgetIsSpent) {
  for (const int budget : {0, 1, 5}) {
    const ReplyRules r = rules({}, budget);
    ReplyRules::State s = r.start(tiny().encode(kThinking), false);
    for (const int32_t id : tiny().encode("<|channel>thought\n")) s = r.advance(s, id);
    ReplyRules::Allowed allowed;
    int spent = 0;
    for (;; ++spent) {
      r.allowed(s, allowed);
      if (allowed.restricted) break;
      s = r.advance(s, tiny().encode("e")[0]);
    }
    EXPECT_EQ(spent, budget);
    for (int32_t id = 0; id < tiny().vocab_size(); ++id)
      EXPECT_EQ(may(allowed, id), id == *tiny().find("<channel|>"));
    s = r.advance(s, *tiny().find("<channel|>"));
    r.allowed(s, allowed);
    EXPECT_FALSE(allowed.restricted) << "the answer is free";
  }
}

TEST(ReplyRules, OptionsThatContradictAreRefused) {
  const auto refused = [](const std::vector<std::string>& words, auto change, int budget = -1) {
    ReplyFormat f;
    change(f);
    expect_error(ErrorKind::kBadRequest, words, [&] { rules(f, budget); });
  };
  refused({"json_object", "json_schema"}, [](auto& f) { f.json_object = true, f.json_schema = "{}"; });
  refused({"json_schema", "JSON"}, [](auto& f) { f.json_schema = "{"; });
  refused({"no tools"}, [](auto& f) { f.tool_choice = ToolChoice::kRequired; });
  refused({"tool_name", "get"}, [](auto& f) { f.tools = tools(), f.tool_name = "get"; });
  refused({"other", "2 tools"},
          [](auto& f) { f.tools = tools(), f.tool_choice = ToolChoice::kRequired, f.tool_name = "other"; });
  refused({"tools[0].name"}, [](auto& f) { f.tools = {{"a b", ""}}; });
  refused({"tools[1].name", "get"}, [](auto& f) { f.tools = {{"get", ""}, {"get", ""}}; });
  refused({"tools[0].parameters", "\"not\""}, [](auto& f) {
    f.tools = {{"f", R"({"type":"object","not":{}})"}};
  });
  refused({"tools[0].parameters", "no object"}, [](auto& f) { f.tools = {{"f", R"({"type":"string"})"}}; });
  refused(
      {"reasoning_budget_tokens"}, [](auto&) {}, -2);
}

// Whatever is drawn, calls that the rules let through can be read, and their arguments are what was allowed.
TEST(ReplyRules, EveryCallThatIsAllowedCanBeRead) {
  ReplyFormat f;
  f.tool_choice = ToolChoice::kRequired;
  f.tools = {
      {"f",
       R"({"type":"object","properties":{"the self":{"type":"string","maxLength":6},"n":{"type":["number","null"]},"l":{"type":"array","items":{"type":"object"},"maxItems":2},"e":{"enum":["x,y:1","}",true]}},"required":["n"]})"}};
  const ReplyRules r = rules(f);
  Random random(9);
  int calls = 0;
  for (int round = 0; round < 60; ++round) {
    ReplyRules::State s = r.start({}, false);
    ReplyParser parser(tiny(), false);
    ReplyRules::Allowed allowed;
    for (int step = 0; step < 400 && s.mode != Mode::kDone; ++step) {
      r.allowed(s, allowed);
      ASSERT_TRUE(allowed.restricted);
      std::vector<int32_t> ids, closing;
      for (int32_t id = 0; id < tiny().vocab_size(); ++id) {
        if (!may(allowed, id)) continue;
        ids.push_back(id);
        const std::string_view text = tiny().token_bytes(id);
        if (text == "}" || text == "]" || text == "<|\"|>" || text == "<tool_call|>") closing.push_back(id);
      }
      ASSERT_FALSE(ids.empty());
      const auto& from = !closing.empty() && step > 40 ? closing : ids;
      const int32_t id = from[below(random, from.size())];
      s = r.advance(s, id);
      for (const ReplyEvent& e : parser.push(id)) {
        ASSERT_EQ(e.kind, ReplyEvent::Kind::kToolCall);
        ASSERT_TRUE(e.call.parsed) << e.call.arguments_json;
        EXPECT_EQ(e.call.name, "f");
        const Json arguments = parse_json(e.call.arguments_json, ErrorKind::kBadRequest, "arguments");
        EXPECT_TRUE(arguments.contains("n") && (arguments["n"].is_number() || arguments["n"].is_null()));
        if (arguments.contains("e")) {
          EXPECT_TRUE(arguments["e"] == Json("x,y:1") || arguments["e"] == Json("}") ||
                      arguments["e"] == Json(true));
        }
        if (arguments.contains("the self")) {
          EXPECT_TRUE(arguments["the self"].is_string());
        }
        ++calls;
      }
    }
  }
  EXPECT_GT(calls, 40);
}

}  // namespace
}  // namespace tessera
