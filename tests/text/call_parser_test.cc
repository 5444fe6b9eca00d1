// Tool calls as models write them, ' standing for the token <|"|>.
#include "text/call_parser.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fixtures.h"

namespace tessera {
namespace {

ToolCall parse(std::string body, bool may_lack_end = true) {
  std::replace(body.begin(), body.end(), '\'', kQuoteMark);
  return parse_call(body, may_lack_end);
}

struct Row {
  const char* body;
  const char* name;
  const char* arguments;
};

TEST(CallParser, ANumberEndsAtNoNul) {  // found by fuzz_chat: the arguments were no JSON
  const ToolCall call = parse_call(std::string_view("call:f{a:2\0x}", 13), true);
  ASSERT_TRUE(call.parsed);
  EXPECT_EQ(call.arguments_json, R"({"a":"2\u0000x"})");
}

TEST(CallParser, ReadsTheFormat) {
  const Row rows[] = {
      {"call:now{}", "now", "{}"},
      {"call:get_weather{city:'Paris'}", "get_weather", R"({"city":"Paris"})"},
      {"call:f{a:{j:3,k:'v'},b:[1,2.5,true,null,'x']}", "f",
       R"({"a":{"j":3,"k":"v"},"b":[1,2.5,true,null,"x"]})"},
      {"call:ns.tool-1_x{a:[],b:{}}", "ns.tool-1_x", R"({"a":[],"b":{}})"},
      {"call:f{s:'a, b: {c} [d] \"e\" \\n'}", "f", R"({"s":"a, b: {c} [d] \"e\" \\n"})"},
      {"call:f{'key one':1,'k:2':2}", "f", R"({"key one":1,"k:2":2})"},
      {"call:f{ a : 1 , b : ' x ' }", "f", R"({"a":1,"b":" x "})"},
      {"call:f{n:12345678901234567890123,d:1.0,e:-1e-7}", "f",
       R"({"n":12345678901234567890123,"d":1.0,"e":-1e-7})"},
      {"call:f{s:'line\nbreak\ttab'}", "f", R"({"s":"line\nbreak\ttab"})"},
      {"call:f{s:''}", "f", R"({"s":""})"},
      {"call:f{l:[[1,[2]],{a:[{}]}]}", "f", R"({"l":[[1,[2]],{"a":[{}]}]})"},
      {"call:f{s:'\u00e9\U0001F642'}", "f", "{\"s\":\"\u00e9\U0001F642\"}"},
  };
  for (const Row& row : rows) {
    for (const bool may_lack_end : {true, false}) {
      const ToolCall call = parse(row.body, may_lack_end);
      EXPECT_TRUE(call.parsed) << row.body;
      EXPECT_EQ(call.name, row.name);
      EXPECT_EQ(call.arguments_json, row.arguments) << row.body;
    }
  }
}

TEST(CallParser, ToleratesWhatModelsDo) {
  const Row rows[] = {
      {"call:f{city:Paris}", "f", R"({"city":"Paris"})"},
      {"call:f{city:Paris, France,unit:celsius}", "f", R"({"city":"Paris, France","unit":"celsius"})"},
      {"call:f{city: New York , n:3}", "f", R"({"city":"New York","n":3})"},
      {"call:f{\"city\":\"Paris\\n\\u00e9\",\"n\":[\"a\"]}", "f",
       "{\"city\":\"Paris\\n\u00e9\",\"n\":[\"a\"]}"},
      {"call:f{s:\"raw\nbreak\"}", "f", R"({"s":"raw\nbreak"})"},
      {"call:f{cmd:`ls -la, x`}", "f", R"({"cmd":"ls -la, x"})"},
      {"call:f{a:True,b:False,c:None,d:Trueish}", "f", R"({"a":true,"b":false,"c":null,"d":"Trueish"})"},
      {"call:f{city:'Paris'", "f", R"({"city":"Paris"})"},
      {"call:f{a:{b:[1,2", "f", R"({"a":{"b":[1,2]}})"},
      {"call:f{code:if(x){return {y};}}", "f", R"({"code":"if(x){return {y};}"})"},
      {"call:f{face:sad :(}", "f", R"({"face":"sad :("})"},
      {"call:f{city:'Paris'}}", "f", R"({"city":"Paris"})"},
      {"call:f{a:1,}", "f", R"({"a":1})"},
      {"call:f{l:[1,2,]}", "f", R"({"l":[1,2]})"},
      {"call:f{l:[red,light green]}", "f", R"({"l":["red","light green"]})"},
      {":f{a:1}", "f", R"({"a":1})"},
      {"f{a:1}", "f", R"({"a":1})"},
      {"call: f {a:1}", "f", R"({"a":1})"},
      {"call:\"f\"{a:1}", "f", R"({"a":1})"},
      {"call:'f'{a:1}", "f", R"({"a":1})"},
      {"call:f(a:1,s:g(x))", "f", R"~({"a":1,"s":"g(x)"})~"},
      {"call:ns:f{a:1}", "f", R"({"a":1})"},
      {"call:f", "f", "{}"},
      {"call:f{a:01,b:1.,c:-,d:1e999}", "f", R"({"a":"01","b":"1.","c":"-","d":"1e999"})"},
      {"call:f{a:}", "f", R"({"a":""})"},
      {"call:f{t:\"half}", "f", R"({"t":"\"half"})"},
  };
  for (const Row& row : rows) {
    const ToolCall call = parse(row.body);
    EXPECT_TRUE(call.parsed) << row.body;
    EXPECT_EQ(call.name, row.name) << row.body;
    EXPECT_EQ(call.arguments_json, row.arguments) << row.body;
    EXPECT_TRUE(nlohmann::json::accept(call.arguments_json)) << row.body;
  }
}

TEST(CallParser, GivesTheTextBackWhenItCannotBeRead) {
  const char* rows[] = {"",
                        "call:",
                        "call:{a:1}",
                        "call:f{Paris}",
                        "call:f{a:1}x",
                        "call:f{a:'",
                        "call:f{a:'Paris",
                        "call:f{a:1 b'c'}",
                        "call:f{a:[1}",
                        "{\"name\":\"f\"}",
                        "call:f{:1}",
                        "call:f{a:{b}}",
                        "call"};
  for (const char* row : rows) {
    const ToolCall call = parse(row);
    EXPECT_FALSE(call.parsed) << row << " → " << call.arguments_json;
    std::string raw(row);
    for (size_t at; (at = raw.find('\'')) != std::string::npos;) raw.replace(at, 1, "<|\"|>");
    EXPECT_EQ(call.arguments_json, raw);
  }
}

TEST(CallParser, ACutCallIsNotGuessed) {
  // Generation ended in the middle: nothing may be added to make it whole.
  for (const char* row : {"call:f{city:'Paris'", "call:f{city:Par", "call:f", "call:f{a:{b:1}", "call:f{"}) {
    EXPECT_FALSE(parse(row, false).parsed) << row;
  }
  EXPECT_TRUE(parse("call:f{city:'Paris'}", false).parsed);
}

TEST(CallParser, HostileNestingAndLengthAreLinear) {
  for (const char* piece : {"{a:", "[", "{", "\"", "`", ",", "a:{", "(", "'", ":", "a:\"x,"}) {
    std::string body = "call:f{a:";
    for (int i = 0; i < 100000; ++i) body += piece;
    const ToolCall call = parse(body);  // returns at once; both outcomes are fine
    EXPECT_TRUE(!call.parsed || nlohmann::json::accept(call.arguments_json)) << piece;
  }
}

TEST(CallParser, AlwaysGivesJsonOrTheRawText) {
  static constexpr std::string_view kPieces[] = {"call:", "f",  "{",  "}", "[", "]",      ",",    ":",
                                                 "'",     "\"", "`",  "1", "-", ".5",     "true", " ",
                                                 "\n",    "a",  "\\", "(", ")", "\u00e9", "key:"};
  int parsed = 0;
  for (uint64_t seed = 1; seed <= 30000; ++seed) {
    test::Random random(seed);
    std::string body = random() % 4 == 0 ? "" : "call:f{";
    for (size_t n = test::below(random, 14); n > 0; --n)
      body += kPieces[test::below(random, std::size(kPieces))];
    if (random() % 2 == 0) body += "}";
    const ToolCall call = parse(body, random() % 2 == 0);
    if (call.parsed) {
      ++parsed;
      ASSERT_TRUE(nlohmann::json::accept(call.arguments_json)) << "seed " << seed << ": " << body;
      ASSERT_FALSE(call.name.empty());
    }
  }
  EXPECT_GT(parsed, 1000);
}

}  // namespace
}  // namespace tessera
