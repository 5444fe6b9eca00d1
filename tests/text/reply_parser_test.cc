// Replies, token by token. Rows are texts with markers, encoded by the tiny tokenizer; {OPEN} etc. keep them
// readable.
#include "text/reply_parser.h"

#include <gtest/gtest.h>

#include "fixtures.h"

namespace tessera {
namespace {

using test::below;
using test::Random;
using test::tiny;

// What a reply comes to: thought, text, and calls as NAME + JSON (or "raw:" + text), joined.
struct Outcome {
  std::string thought, text, calls;
  bool operator==(const Outcome&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Outcome& o) {
  return out << "{thought: \"" << o.thought << "\", text: \"" << o.text << "\", calls: \"" << o.calls
             << "\"}";
}

void take(Outcome& outcome, const std::vector<ReplyEvent>& events) {
  for (const ReplyEvent& event : events) {
    switch (event.kind) {
      case ReplyEvent::Kind::kThought:
        outcome.thought += event.text;
        break;
      case ReplyEvent::Kind::kText:
        outcome.text += event.text;
        break;
      case ReplyEvent::Kind::kToolCall:
        outcome.calls += (event.call.parsed ? event.call.name : "raw:") + event.call.arguments_json + ";";
        break;
    }
    const bool call = event.kind == ReplyEvent::Kind::kToolCall;
    EXPECT_EQ(event.text.empty(), call) << "an event without content";
    EXPECT_TRUE(is_utf8(event.text) && is_utf8(event.call.arguments_json));
  }
}

Outcome parse(const std::vector<int32_t>& ids, bool starts_in_thought = false,
              const Tokenizer& tokenizer = tiny()) {
  ReplyParser parser(tokenizer, starts_in_thought);
  Outcome outcome;
  for (const int32_t id : ids) take(outcome, parser.push(id));
  take(outcome, parser.finish());
  return outcome;
}

struct Row {
  const char* reply;
  Outcome outcome;
  bool starts_in_thought = false;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {"", {}},
      {"Hello world<turn|>", {"", "Hello world", ""}},
      {"Hello world<eos>", {"", "Hello world", ""}},
      {"no end", {"", "no end", ""}},
      {"<|channel>thought\nhmm\n<channel|>The answer<turn|>", {"hmm", "The answer", ""}},
      {"<|channel>thought\na\n\nb\n\n<channel|>c", {"a\n\nb\n", "c", ""}},
      {"<|channel>thought\n<channel|>yes<turn|>", {"", "yes", ""}},  // empty channel
      {"<|channel><channel|>yes", {"", "yes", ""}},                  // no name at all
      {"<|channel>thought<channel|>yes", {"", "yes", ""}},           // no line break
      {"yes<channel|><turn|>", {"", "yes", ""}},                     // stray close
      {"yes<|channel>thought\n<channel|><turn|>", {"", "yes", ""}},  // empty, after the answer
      {"<|channel>final\nyes<channel|>", {"", "final\nyes", ""}},    // no channel we know
      {"<|channel>thoughtful<turn|>", {"", "thoughtful", ""}},
      {"<|channel>tho", {"", "tho", ""}},  // cut inside the name
      {"<|channel>thought", {}},
      {"<|channel>", {}},
      {"<|channel>thought\na\n<channel|><|channel>thought\nb\n<channel|>c",
       {"a\nb", "c", ""}},                                                         // two channels
      {"<|channel>thought\na<|channel>thought\nb\n<channel|>c", {"ab", "c", ""}},  // opened twice
      {"<|channel>thought\nnever closed\n", {"never closed\n", "", ""}},
      {"<|channel>thought\nnever closed<turn|>", {"never closed", "", ""}},
      {"going on\n<channel|>answer", {"going on", "answer", ""}, true},  // the prompt opened it
      {"<channel|>answer", {"", "answer", ""}, true},
      {"all thought", {"all thought", "", ""}, true},
      {"<|tool_call>call:now{}<tool_call|><|tool_response>", {"", "", "now{};"}},
      {"Let me see.<|tool_call>call:f{a:<|\"|>x<|\"|>}<tool_call|><|tool_response>",
       {"", "Let me see.", "f{\"a\":\"x\"};"}},
      {"<|channel>thought\nneed it\n<channel|><|tool_call>call:f{n:1}<tool_call|><|tool_call>call:g{l:[1,2]}"
       "<tool_call|><|tool_response>",
       {"need it", "", "f{\"n\":1};g{\"l\":[1,2]};"}},
      {"<|tool_call>call:f{}<tool_call|> \n<|tool_call>call:g{}<tool_call|>\n\n<turn|>",
       {"", "", "f{};g{};"}},
      {"<|tool_call>call:f{}<tool_call|>\n and text<turn|>", {"", "\n and text", "f{};"}},
      {"<|tool_call>call:f{a:<|\"|>x<|\"|><turn|>", {"", "", "f{\"a\":\"x\"};"}},  // no closing brace
      {"<|tool_call>call:f{a:<|\"|>x<|\"|>}<|tool_call>call:g{}<tool_call|>",
       {"", "", "f{\"a\":\"x\"};g{};"}},
      {"<|tool_call>call:f{a:<|\"|>x", {"", "", "raw:call:f{a:<|\"|>x;"}},  // cut by a limit
      {"<|tool_call>call:f{a:<|\"|>x<turn|>", {"", "", "raw:call:f{a:<|\"|>x;"}},
      {"<|tool_call>:f{a:b}<tool_call|>", {"", "", "f{\"a\":\"b\"};"}},
      {"<|tool_call><tool_call|>", {"", "", "raw:;"}},
      {"<|tool_call>BEGIN_ARG x END_ARG<tool_call|>", {"", "", "raw:BEGIN_ARG x END_ARG;"}},
      {"<|tool_call>call:f{a:<|\"|>{\"k\": \"}, <0x41>\"}<|\"|>}<tool_call|>",
       {"", "", "f{\"a\":\"{\\\"k\\\": \\\"}, <0x41>\\\"}\"};"}},
      {"<|channel>thought\n<|tool_call>call:f{}<tool_call|> go on\n<channel|>x", {" go on", "x", "f{};"}},
      {"a<|image|>b<mask>c<tool_call|>d", {"", "abcd", ""}},  // markers never leak
      {"say <|\"|>hi<|\"|>", {"", "say \"hi\"", ""}},
      {"one<turn|>\ntwo", {"", "one\ntwo", ""}},  // end tokens ignored
      {"caf\u00e9 \U0001F642<turn|>", {"", "caf\u00e9 \U0001F642", ""}},
  };
  return kRows;
}

TEST(ReplyParser, ReadsReplies) {
  for (const Row& row : rows()) {
    EXPECT_EQ(parse(tiny().encode(row.reply), row.starts_in_thought), row.outcome) << row.reply;
  }
}

// The same reply cut into tokens in another way: single characters or their bytes, markers as they are.
std::vector<int32_t> cut_differently(const std::vector<int32_t>& ids, Random& random) {
  std::vector<int32_t> cut;
  for (const int32_t id : ids) {
    if (tiny().is_control(id) || random() % 4 == 0) {
      cut.push_back(id);
      continue;
    }
    for (const char c : tiny().token_bytes(id)) {
      const std::string token = c == ' ' ? "\u2581" : std::string(1, c);
      const auto single = tiny().find(token);
      cut.push_back(single && random() % 2 == 0 ? *single : 24 + static_cast<uint8_t>(c));
    }
  }
  return cut;
}

TEST(ReplyParser, DoesNotDependOnTheTokens) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    const Row& row = rows()[seed % rows().size()];
    const std::vector<int32_t> cut = cut_differently(tiny().encode(row.reply), random);
    ASSERT_EQ(parse(cut, row.starts_in_thought), row.outcome) << "seed " << seed << ": " << row.reply;
  }
}

TEST(ReplyParser, DoesNotDependOnTheTokensOfAnyReply) {
  static constexpr std::string_view kPieces[] = {"<|channel>",
                                                 "<channel|>",
                                                 "<|tool_call>",
                                                 "<tool_call|>",
                                                 "<|\"|>",
                                                 "<turn|>",
                                                 "<|image|>",
                                                 "thought\n",
                                                 "thought",
                                                 "\n",
                                                 " ",
                                                 "call:f{",
                                                 "}",
                                                 "a:",
                                                 "1",
                                                 ",",
                                                 "caf\u00e9",
                                                 "\U0001F999",
                                                 "Hello",
                                                 "[",
                                                 "]"};
  for (uint64_t seed = 1; seed <= 20000; ++seed) {
    Random random(seed);
    std::string reply;
    for (size_t n = below(random, 16); n > 0; --n) reply += kPieces[below(random, std::size(kPieces))];
    const std::vector<int32_t> ids = tiny().encode(reply);
    const bool thought = random() % 3 == 0;
    const Outcome outcome = parse(ids, thought);
    ASSERT_EQ(parse(cut_differently(ids, random), thought), outcome) << "seed " << seed << ": " << reply;
    for (const ControlToken& marker : tiny().control_tokens()) {
      ASSERT_EQ((outcome.text + outcome.thought).find(marker.text), std::string::npos)
          << "seed " << seed << ": " << reply;
    }
  }
}

TEST(ReplyParser, AnyTokensAtAll) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    std::vector<int32_t> ids;
    for (size_t n = below(random, 60); n > 0; --n) {
      ids.push_back(random() % 3 == 0 ? static_cast<int32_t>(below(random, 24))
                                      : static_cast<int32_t>(below(random, 1030)) - 3);
    }
    const Outcome outcome = parse(ids, random() % 2 == 0);
    EXPECT_TRUE(is_utf8(outcome.text) && is_utf8(outcome.thought) && is_utf8(outcome.calls))
        << "seed " << seed;
  }
}

TEST(ReplyParser, TextThatImitatesMarkersIsText) {
  std::vector<int32_t> ids;
  const std::string text = "<|channel>thought\nx<channel|><|tool_call>call:f{}<tool_call|><turn|>";
  for (const char c : text)
    ids.push_back(24 + static_cast<uint8_t>(c));  // byte tokens: no control token among them
  EXPECT_EQ(parse(ids), (Outcome{"", text, ""}));
}

TEST(ReplyParser, StreamsWholeCharactersAtOnce) {
  ReplyParser parser(tiny(), false);
  EXPECT_TRUE(parser.push(24 + 0xF0).empty());
  EXPECT_TRUE(parser.push(24 + 0x9F).empty());
  EXPECT_TRUE(parser.push(24 + 0xA6).empty());
  const auto events = parser.push(24 + 0x99);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].text, "\U0001F999");
  EXPECT_TRUE(parser.push(24 + 0xF0).empty());
  ASSERT_EQ(parser.finish().at(0).text, "\uFFFD");
  // The answer is not held back when nothing is open.
  EXPECT_EQ(parser.push(345).at(0).text, "a");
}

TEST(ReplyParser, TheCallComesWithItsEndToken) {
  ReplyParser parser(tiny(), false);
  for (const int32_t id : tiny().encode("<|tool_call>call:f{a:1}")) EXPECT_TRUE(parser.push(id).empty());
  const auto events = parser.push(*tiny().find("<|tool_response>"));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].call.name, "f");
  EXPECT_TRUE(parser.finish().empty());
}

TEST(ReplyParser, ATokenizerMayLackTheMarkers) {
  const std::string json = test::changed_tiny_json([](Json& tree) { tree["added_tokens"] = Json::array(); });
  const Tokenizer plain = Tokenizer::from_json(json, "plain");
  EXPECT_EQ(parse(tiny().encode("a<|channel>thought\nb<channel|><turn|>"), false, plain).thought, "");
  const auto renamed = [](const std::string& name) {
    return (name.starts_with("<|") || name.ends_with("|>") ? "gone " : "") + name;
  };
  const std::string without = test::changed_tiny_json([&](Json& tree) {
    Json vocab = Json::object();
    for (const auto& [key, value] : tree["model"]["vocab"].items()) vocab[renamed(key)] = value;
    tree["model"]["vocab"] = vocab;
    for (Json& added : tree["added_tokens"]) added["content"] = renamed(added["content"].get<std::string>());
  });
  const Tokenizer few = Tokenizer::from_json(without, "few");
  EXPECT_EQ(few.find("<|channel>"), std::nullopt);
  EXPECT_EQ(parse(tiny().encode("a<|channel>thought\nb<channel|><turn|>c"), false, few).text, "athought\nbc");
}

TEST(ReplyParser, HoldingBlanksStaysLinear) {
  ReplyParser parser(tiny(), false);
  for (const int32_t id : tiny().encode("<|tool_call>call:f{}<tool_call|>")) parser.push(id);
  for (int i = 0; i < 300000; ++i) EXPECT_TRUE(parser.push(415).empty());  // sixteen spaces
  EXPECT_EQ(parser.push(345).at(0).text.size(), 300000U * 16 + 1);
}

TEST(StripJsonFence, TakesOneFence) {
  EXPECT_EQ(strip_json_fence("```json\n{\"a\": 1}\n```"), "{\"a\": 1}");
  EXPECT_EQ(strip_json_fence(" \n```JSON \n[1]\n```\n"), "[1]");
  EXPECT_EQ(strip_json_fence("```\n1\n```"), "1");
  EXPECT_EQ(strip_json_fence("```json\n{\"a\": 1"), "{\"a\": 1");
  EXPECT_EQ(strip_json_fence("  {\"a\": 1} "), "{\"a\": 1}");
  EXPECT_EQ(strip_json_fence("```python\nx\n```"), "```python\nx\n```");
  EXPECT_EQ(strip_json_fence("```json\n1\n```\nand\n```json\n2\n```"),
            "```json\n1\n```\nand\n```json\n2\n```");
  EXPECT_EQ(strip_json_fence("```"), "```");
  EXPECT_EQ(strip_json_fence(""), "");
}

}  // namespace
}  // namespace tessera
