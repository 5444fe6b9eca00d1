// Schemas and what may be written for them: rows of values that are and that are not.
#include "text/json_schema.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "fixtures.h"
#include "text/call_parser.h"
#include "text/json_number.h"

namespace tessera {
namespace {

using test::Random;

struct Compiled {
  Compiled(const std::string& schema, StringSyntax syntax)
      : root(schema_text(grammar, parse_json(schema, ErrorKind::kBadRequest, "test"), syntax,
                         "json_schema")) {}
  bool takes(std::string_view text) { return grammar.accepts(grammar.advance(root, text)); }
  Grammar grammar{64};
  Grammar::State root;
};

struct Row {
  const char* schema;
  std::vector<const char*> valid, invalid;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {R"({"type":"object"})",
       {R"({})", R"({"a":1})", R"({"a": [1, {"b":null}], "":"x"})", "{\n  \"a\": 1,\n  \"b\": 2\n}"},
       {R"([])", R"({"a"})", R"({"a":1,})", R"({a:1})", " {}", "{} ", "{\"a\":  1}", "{\n\n}",
        "{\"a\":\n1}"}},
      {"true",
       {"1", "null", "\"x\"", "[[]]", "{}", "-0.5e-3", "0"},
       {"01", "1.", ".5", "+1", "nul", "'x'", "1e999", ""}},
      {R"({"type":"string"})",
       {R"("")", R"("a\n\"\\\/\u00e9")", R"("\ud83d\ude00")", "\"\xC3\xA9\xF0\x9F\xA6\x99\""},
       {"\"\n\"", R"("\x")", R"("\ud83d")", R"("\ude00")", R"("\ud83dx")", "\"\xC3\"", "\"\xED\xA0\x80\"",
        "\"\xC0\xAF\"", R"("a)", R"(a")"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", "\"\xC3\xA9\xF0\x9F\xA6\x99\"", R"("\ud83d\ude00\n\"")"},
       {R"("")", R"("a")", R"("abcd")", "\"\xC3\xA9\""}},
      {R"({"type":"string","pattern":"^[a-c]+\\d{2,3}$"})",
       {R"("a12")", R"("cab123")"},
       {R"("a1")", R"("d12")", R"("a1234")"}},
      {R"({"type":"string","pattern":"b|^c"})",
       {R"("abc")", R"("b")", R"("cx")", R"("\"b")"},
       {R"("ac")", R"("")"}},
      {R"({"type":"string","pattern":"^a*$","maxLength":3,"minLength":1})",
       {R"("a")", R"("aaa")"},
       {R"("")", R"("aaaa")", R"("ab")"}},
      {R"({"type":"string","pattern":"^.[^x\"][\\s\\\\]$"})",
       {R"("\\\\ ")", R"("a\t\\")", "\"\xC3\xA9q\\n\""},
       {R"("ax ")", R"("a\" ")", R"("\nb ")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("1999-12-31")", R"("2000-02-29")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2024-13-01")", R"("2024-04-31")", R"("24-01-01")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-29T23:59:59Z")", R"("2024-01-01T00:00:00.5+01:00")"},
       {R"("2024-01-01")", R"("2024-01-01T24:00:00Z")"}},
      {R"({"type":"string","format":"uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"type":"string","format":"email"})", {R"("a.b@c-d.org")"}, {R"("a@b")", R"("@b.org")"}},
      {R"({"type":"string","format":"ipv4"})", {R"("255.0.10.1")"}, {R"("256.0.0.1")", R"("1.2.3")"}},
      {R"({"type":"string","format":"unheard-of"})", {R"("x")"}, {"1"}},
      {R"({"type":"integer"})",
       {"0", "-1", "999999999999999999"},
       {"1.0", "-0", "00", "1e3", "1000000000000000000"}},
      {R"({"type":"integer","minimum":-5,"exclusiveMaximum":12})",
       {"-5", "-1", "0", "9", "10", "11"},
       {"-6", "12", "-10", "100"}},
      {R"({"type":"integer","minimum":1.5})", {"2", "15", "100"}, {"1", "0", "-2"}},
      {R"({"type":"number","minimum":0,"maximum":1})",
       {"0", "0.5", "1", "1.0", "0.000"},
       {"1.1", "-0.1", "2", "1e0", "1."}},
      {R"({"type":"number","exclusiveMinimum":-1.25,"maximum":0.5})",
       {"-1.2", "-1.249", "-1", "0", "-0.5", "0.5", "0.49", "0.500"},
       {"-1.25", "-1.3", "0.51", "0.6", "1", "-2"}},
      {R"({"type":"number","exclusiveMinimum":3,"exclusiveMaximum":4})",
       {"3.5", "3.001", "3.99"},
       {"3", "3.0", "4", "2.9", "4.1"}},
      {R"({"enum":["a",1,null,{"k":[true]},2.5]})",
       {R"("a")", "1", "null", R"({"k":[true]})", "2.5"},
       {R"("b")", "2", "1.0", R"({"k": [true]})"}},
      {R"({"type":"string","enum":["a",1,"ccc"],"maxLength":2})", {R"("a")"}, {"1", R"("ccc")"}},
      {R"({"const":"x\"y"})", {R"("x\"y")"}, {R"("x")"}},
      {R"({"type":["integer","null"]})", {"5", "null"}, {"\"5\"", "true"}},
      {R"({"type":"string","nullable":true})", {"null", "\"\""}, {"1"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"},"c":{}},"required":["b"]})",
       {R"({"a":1,"b":true,"c":[]})", R"({"b":false})", R"({"b": false, "c": 1})", R"({"a":2,"b":true})"},
       {R"({})", R"({"a":1})", R"({"b":true,"a":1})", R"({"b":true,"d":1})", R"({"b":true,"b":true})"}},
      {R"({"properties":{"ab":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
       {R"({})", R"({"ab":1})", R"({"a":"x"})", R"({"ab":1,"abc":"x","":"y"})", R"({"x":"y"})"},
       {R"({"ab":"x"})", R"({"a":1})", R"({"x":"y","ab":1})", R"({"\u0061b":"x"})"}},
      {R"({"type":"object","required":["z"],"additionalProperties":{"type":"integer"}})",
       {R"({"z":1})", R"({"z":1,"y":2})"},
       {R"({})", R"({"y":2})", R"({"z":"1"})"}},
      {R"({"type":"object","additionalProperties":false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type":"object","minProperties":1})", {R"({"a":1})"}, {"{}"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1, 2,3]", "[\n  1,\n  2\n]"},
       {"[]", "[1,2,3,4]", "[\"\"]", "[1,]", "[,1]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"},"minItems":1})",
       {"[1]", R"([1,"a"])", R"([1,"a",null,null])"},
       {"[]", R"(["a"])", "[1,null]"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false})", {"[]", "[1]"}, {"[1,2]"}},
      {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}],"description":"x"})",
       {"1", R"("a")"},
       {R"("ab")", "null"}},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", {"1", "1.5"}, {"null"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":3},"b":{"type":"null"}},"required":["b"]}]})",
       {R"({"a":3,"b":null})"},
       {R"({"a":2,"b":null})", R"({"a":3})"}},
      {R"({"type":"number","allOf":[{"anyOf":[{"type":"integer"},{"type":"string"}]},{"maximum":3}]})",
       {"3", "-7"},
       {"4", "1.5", "\"\""}},
      {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"]}}})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":{}})"}},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", {"null"}, {"1"}},
      {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
      {R"({"properties":{"a":{"$ref":"#/properties/a~1b"},"a/b":{"const":1},"no":false}})",
       {R"({"a":1,"a/b":1})"},
       {R"({"no":1})", R"({"a":2})"}},
      {R"({"allOf":[{"additionalProperties":{"type":"integer","maximum":5}},{"additionalProperties":{"$ref":"#"},"properties":{"x":{"enum":[1,"y"]}}}]})",
       {R"({"x":1})", "{}"},
       {R"({"x":"y"})", R"({"y":"a"})"}},
      // A branch that never ends is no branch.
      {R"({"type":"object","properties":{"a":{"$ref":"#/$defs/x"},"b":{"type":"null"}},"$defs":{"x":{"type":"object","properties":{"x":{"$ref":"#/$defs/x"}},"required":["x"]}}})",
       {R"({"b":null})", "{}"},
       {R"({"a":{"x":{"x":1}}})", R"({"a)"}},
  };
  return kRows;
}

TEST(JsonSchema, TakesWhatIsValidAndNothingElse) {
  for (const Row& row : rows()) {
    Compiled c(row.schema, StringSyntax::kJson);
    for (const char* text : row.valid) EXPECT_TRUE(c.takes(text)) << row.schema << "\n" << text;
    for (const char* text : row.invalid) EXPECT_FALSE(c.takes(text)) << row.schema << "\n" << text;
  }
}

// With ' for the quotation mark of calls.
TEST(JsonSchema, InTheSyntaxOfCalls) {
  const std::vector<Row> kRows = {
      {R"({"type":"object","properties":{"city":{"type":"string"},"n":{"type":"integer"},"odd key":{"enum":["x\"",null]}},"required":["city"]})",
       {"{city:'Paris'}", "{n:1,city:''}", "{city:'a \"b\" \\ {x:1}\n',n:-2}", "{'odd key':'x\"',city:'a'}",
        "{'odd key':null,city:'a'}"},
       {"{}", "{n:1}", "{city:Paris}", "{city:\"a\"}", "{city:'a',city:'b'}", "{city: 'a'}",
        "{odd key:null,city:'a'}", "{city:'a',x:1}"}},
      {R"({"type":"object"})", {"{}", "{a:[1,{b:null}],c_d:true}"}, {"{a b:1}", "{a:1,}", "{:1}"}},
      {R"({"type":"object","properties":{"a":true},"additionalProperties":{"type":"integer"}})",
       {"{ab:1,a:'x'}", "{b:1}"},
       {"{b:'x'}"}},
  };
  const auto marked = [](std::string text) {
    for (char& c : text) c = c == '\'' ? kQuoteMark : c;
    return text;
  };
  for (const Row& row : kRows) {
    Compiled c(row.schema, StringSyntax::kCall);
    for (const char* text : row.valid) {
      EXPECT_TRUE(c.takes(marked(text))) << row.schema << "\n" << text;
      EXPECT_TRUE(parse_call("call:f" + marked(text), false).parsed) << text;
    }
    for (const char* text : row.invalid) EXPECT_FALSE(c.takes(marked(text))) << row.schema << "\n" << text;
  }
}

TEST(JsonSchema, RefusalsSayWhereAndWhat) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> kRefused = {
      {R"({"properties":{"a":{"not":{}}}})", {"json_schema at #/properties/a", "\"not\"", "not supported"}},
      {R"({"items":{"uniqueItems":true}})", {"#/items", "\"uniqueItems\""}},
      {R"({"anyOf":[{"type":"integer","multipleOf":5}]})", {"#/anyOf/0", "\"multipleOf\""}},
      {R"({"type":"strnig"})", {"#", "\"type\""}},
      {R"({"type":[]})", {"\"type\"", "empty"}},
      {R"({"minLength":-1})", {"\"minLength\""}},
      {R"({"maxItems":1.5})", {"\"maxItems\""}},
      {R"({"$ref":"#/$defs/none"})", {"\"$ref\"", "not in the document"}},
      {R"({"$ref":"https://example.org/x"})", {"\"$ref\"", "inside the document"}},
      {R"({"$ref":"#"})", {"no value satisfies"}},
      {R"({"allOf":[{"$ref":"#"}]})", {"no value satisfies"}},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", {"no value satisfies"}},
      {R"({"type":"array","items":{"$ref":"#"},"minItems":1})", {"no value satisfies"}},
      {R"({"type":"integer","minimum":3,"maximum":2})", {"no value satisfies"}},
      {R"({"type":"string","pattern":"^a{5}$","maxLength":4})", {"no value satisfies"}},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", {"no value satisfies"}},
      {R"({"enum":[]})", {"no value satisfies"}},
      {"false", {"no value satisfies"}},
      {"3", {"json_schema", "an object or a boolean"}},
      {R"p({"pattern":"(?=a)"})p", {"\"pattern\"", "look-ahead", "byte"}},
      {R"({"pattern":"a\\b"})", {"escape \\b"}},
      {R"({"pattern":"(a"})", {"not closed"}},
      {R"({"pattern":"[z-a]"})", {"upside down"}},
      {R"({"pattern":"a{3,1}"})", {"count"}},
      {R"({"pattern":"*"})", {"nothing to repeat"}},
      {R"({"pattern":"((a{100}){100}){100}"})", {"10000"}},
      {R"({"pattern":"a)b"})", {"should end"}},
      {R"({"patternProperties":{}})", {"\"patternProperties\""}},
      {R"({"type":"object","minProperties":2})", {"\"minProperties\""}},
      {R"({"properties":{"a":{}},"additionalProperties":true,"maxProperties":1})", {"\"maxProperties\""}},
  };
  for (const auto& [schema, words] : kRefused) {
    SCOPED_TRACE(schema);
    try {
      Compiled c(schema, StringSyntax::kJson);
      ADD_FAILURE() << "was not refused";
    } catch (const Error& e) {
      EXPECT_TRUE(e.kind() == ErrorKind::kBadRequest || e.kind() == ErrorKind::kTooLarge);
      for (const std::string& word : words)
        EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
    }
  }
}

// None may hang, exhaust memory or crash: a refusal or a grammar, soon.
TEST(JsonSchema, HostileSchemasComeToAnEnd) {
  std::vector<std::string> schemas;
  std::string doubling = R"({"type":"null"})";  // references that double
  Json defs = Json::object();
  defs["d0"] = Json{{"type", "null"}};
  for (int i = 1; i < 60; ++i) {
    const Json ref{{"$ref", "#/$defs/d" + std::to_string(i - 1)}};
    defs["d" + std::to_string(i)] = Json{{"anyOf", Json::array({ref, ref})}};
  }
  schemas.push_back(Json{{"$defs", defs}, {"$ref", "#/$defs/d59"}}.dump());
  Json product = Json::array();
  for (int i = 0; i < 40; ++i)
    product.push_back(Json::parse(R"({"anyOf":[{"minLength":1},{"maxLength":9}]})"));
  schemas.push_back(Json{{"allOf", product}}.dump());
  // Merged schemas that grow at each level.
  schemas.push_back(
      R"({"$defs":{"a":{"properties":{"p":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]}}},"b":{"properties":{"p":{"allOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/a"},{"title":"t"}]}}}},"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]})");
  schemas.push_back(R"({"type":"string","pattern":"^(((a?){30}){30}b?){10}$","maxLength":40})");
  schemas.push_back(
      R"({"type":"string","pattern":"(a|aa|aaa)+(b|bb){100}c*[^\"]{1000}","minLength":500,"maxLength":3000})");
  std::string chain = R"({"$defs":{)";
  for (int i = 0; i < 500; ++i)
    chain += fmt::format(R"({}"c{}":{{"$ref":"#/$defs/c{}"}})", i ? "," : "", i, i + 1);
  schemas.push_back(chain + R"(},"$ref":"#/$defs/c0"})");
  Json wide = Json::object();
  for (int i = 0; i < 4000; ++i) wide["property" + std::to_string(i)] = Json{{"type", "integer"}};
  schemas.push_back(Json{{"type", "object"}, {"properties", wide}}.dump());
  schemas.push_back(
      R"({"type":"array","minItems":1000000000,"items":{"type":"string","minLength":1000000000}})");
  for (const std::string& schema : schemas) {
    try {
      Compiled c(schema, StringSyntax::kJson);
      Grammar::State s = c.root;
      for (int i = 0; i < 300 && s != Grammar::kNothing; ++i)  // any way through it
        for (int b = 255; b >= 0; --b)
          if (const auto next = c.grammar.advance(s, static_cast<uint8_t>((b + i) % 256));
              next != Grammar::kNothing) {
            s = next;
            break;
          }
      EXPECT_LT(c.grammar.states(), 2'000'000) << schema.substr(0, 200);
    } catch (const Error& e) {
      EXPECT_TRUE(e.kind() == ErrorKind::kBadRequest || e.kind() == ErrorKind::kTooLarge) << e.what();
    }
  }
}

TEST(JsonNumber, BoundsHoldForEveryNumberTried) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    const auto pick = [&] {
      return static_cast<double>(static_cast<int>(random() % 4001) - 2000) / (random() % 2 == 0 ? 1 : 100);
    };
    double a = pick(), b = pick();
    if (a > b) std::swap(a, b);
    const bool open_a = random() % 2 == 0, open_b = random() % 2 == 0, whole = random() % 2 == 0;
    Grammar g(64);
    const auto least = random() % 4 == 0 ? std::nullopt : std::optional(NumberBound{a, open_a});
    const auto most = random() % 4 == 0 ? std::nullopt : std::optional(NumberBound{b, open_b});
    const Grammar::State s = whole ? integer_text(g, least, most) : number_text(g, least, most);
    for (int i = 0; i < 200; ++i) {
      const double near = random() % 2 == 0 ? (random() % 2 == 0 ? a : b) : pick();
      const int decimals = whole ? 0 : static_cast<int>(random() % 4);
      const std::string text =
          fmt::format("{:.{}f}", near + (static_cast<int>(random() % 21) - 10) / 10.0, decimals);
      const double x = std::stod(text);
      if (x == 0 && text[0] == '-') continue;  // minus zero: left to each
      const bool in =
          (!least || (least->exclusive ? x > a : x >= a)) && (!most || (most->exclusive ? x < b : x <= b));
      EXPECT_EQ(g.accepts(g.advance(s, text)), in)
          << text << " in " << (least ? fmt::format("{}{}", open_a ? "(" : "[", a) : "(") << ", "
          << (most ? fmt::format("{}{}", b, open_b ? ")" : "]") : ")");
    }
  }
}

}  // namespace
}  // namespace tessera
