// The chat format: renders of the published template byte for byte, the worked examples, and what is refused.
#include "text/chat.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "fixtures.h"

namespace tessera {
namespace {

std::string first_difference(const std::string& got, const std::string& want) {
  size_t at = 0;
  while (at < got.size() && at < want.size() && got[at] == want[at]) ++at;
  return fmt::format("first difference at byte {}:\n got  …{}\n want …{}", at, got.substr(at, 80),
                     want.substr(at, 80));
}

std::string error_of(const std::string& request) {
  try {
    return "rendered: " + render_chat(request);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadRequest);
    return error.what();
  }
}

TEST(Chat, RendersTheGoldens) {
  const Json golden = test::fixture_json("chat/cases.json");
  ASSERT_GE(golden.at("cases").size(), 26U);
  int errors = 0;
  for (const Json& c : golden.at("cases")) {
    SCOPED_TRACE(c.at("name").get<std::string>());
    if (c.at("rendered").is_object()) {
      EXPECT_THROW(render_chat(c.at("input").dump()), Error);
      ++errors;
      continue;
    }
    const auto want = c.at("rendered").get<std::string>();
    const std::string got = render_chat(c.at("input").dump());
    EXPECT_TRUE(got == want) << first_difference(got, want);
  }
  EXPECT_EQ(errors, 1);
}

constexpr const char* kOff = "<|turn>model\n<|channel>thought\n<channel|>";

struct Worked {
  const char* name;
  std::string messages;  // JSON
  std::string rest;      // further members
  std::string rendered;
};

const std::string kWeatherTool =
    R"("tools": [{"type": "function", "function": {"name": "get_weather", "description": "Get current weather",
       "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "City name"}},
                      "required": ["city"]}}}])";
const std::string kWeatherDeclaration =
    "<|tool>declaration:get_weather{description:<|\"|>Get current "
    "weather<|\"|>,parameters:{properties:{city:{"
    "description:<|\"|>City "
    "name<|\"|>,type:<|\"|>STRING<|\"|>}},required:[<|\"|>city<|\"|>],type:<|\"|>OBJECT<|\"|>"
    "}}<tool|>";
const std::string kWeatherCall =
    R"({"role": "user", "content": "Weather in Paris?"},
       {"role": "assistant", "content": null, "reasoning": "Need tool", "tool_calls": [
         {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]})";
const std::string kWeatherResult = R"({"role": "tool", "tool_call_id": "1", "content": "15 C, rain"})";
const std::string kWeatherCallText = "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>}<tool_call|>";
const std::string kWeatherResponse =
    "<|tool_response>response:get_weather{value:<|\"|>15 C, rain<|\"|>}<tool_response|>";

std::vector<Worked> worked_examples() {
  const std::string system = "<bos><|turn>system\n" + kWeatherDeclaration + "<turn|>\n";
  const std::string asked = "<|turn>user\nWeather in Paris?<turn|>\n<|turn>model\n";
  const std::string thought = "<|channel>thought\nNeed tool\n<channel|>";
  return {
      {"1", R"({"role": "user", "content": "Hello"})", "",
       std::string("<bos><|turn>user\nHello<turn|>\n") + kOff},
      {"2", R"({"role": "user", "content": "Hello"})", R"("enable_thinking": true)",
       "<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>user\nHello<turn|>\n<|turn>model\n"},
      {"3", R"({"role": "system", "content": " You are terse. "}, {"role": "user", "content": "Hi "})", "",
       std::string("<bos><|turn>system\nYou are terse.<turn|>\n<|turn>user\nHi<turn|>\n") + kOff},
      {"4", R"({"role": "system", "content": " You are terse. "}, {"role": "user", "content": "Hi "})",
       R"("enable_thinking": true)",
       "<bos><|turn>system\n<|think|>\nYou are terse.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"},
      {"5",
       R"({"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "<|channel>thought\nhmm\n<channel|>Hello!"},
          {"role": "user", "content": "Bye"})",
       "",
       std::string("<bos><|turn>user\nHi<turn|>\n<|turn>model\nHello!<turn|>\n<|turn>user\nBye<turn|>\n") +
           kOff},
      {"6", R"({"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe."}]})", "",
       std::string("<bos><|turn>user\n<|image|>Describe.<turn|>\n") + kOff},
      {"7",
       R"({"role": "user", "content": [{"type": "text", "text": "First: "}, {"type": "input_image"},
                                       {"type": "text", "text": " second: "}, {"type": "image_url"}]})",
       "", std::string("<bos><|turn>user\nFirst:<|image|>second:<|image|><turn|>\n") + kOff},
      {"8",
       R"({"role": "user", "content": [{"type": "text", "text": "Transcribe."}, {"type": "audio_url"}]})", "",
       std::string("<bos><|turn>user\nTranscribe.<|audio|><turn|>\n") + kOff},
      {"9",
       R"({"role": "user", "content": [{"type": "video_url"}, {"type": "text", "text": "What happens?"},
                                       {"type": "input_video"}]})",
       "", std::string("<bos><|turn>user\n<|video|>What happens?<|video|><turn|>\n") + kOff},
      {"10", R"({"role": "user", "content": "Weather in Paris?"})", kWeatherTool,
       system + "<|turn>user\nWeather in Paris?<turn|>\n" + kOff},
      {"13", kWeatherCall, kWeatherTool, system + asked + thought + kWeatherCallText + "<|tool_response>"},
      {"14", kWeatherCall + "," + kWeatherResult, kWeatherTool,
       system + asked + thought + kWeatherCallText + kWeatherResponse},
      {"15", kWeatherCall + "," + kWeatherResult, kWeatherTool + R"(, "enable_thinking": true)",
       "<bos><|turn>system\n<|think|>\n" + kWeatherDeclaration + "<turn|>\n" + asked + thought +
           kWeatherCallText + kWeatherResponse + "<|channel>thought\n"},
      {"16",
       kWeatherCall + "," + kWeatherResult +
           R"(, {"role": "assistant", "content": "It is 15 C."}, {"role": "user", "content": "Thanks"})",
       kWeatherTool,
       system + asked + kWeatherCallText + kWeatherResponse +
           "It is 15 C.<turn|>\n<|turn>user\nThanks<turn|>\n" + kOff},
      {"16 preserve_thinking",
       kWeatherCall + "," + kWeatherResult +
           R"(, {"role": "assistant", "content": "It is 15 C."}, {"role": "user", "content": "Thanks"})",
       kWeatherTool + R"(, "preserve_thinking": true)",
       system + asked + thought + kWeatherCallText + kWeatherResponse +
           "It is 15 C.<turn|>\n<|turn>user\nThanks<turn|>\n" + kOff},
      {"17",
       R"({"role": "assistant", "tool_calls": [
            {"function": {"name": "f", "arguments": {"b": [1, 2.5, true, null, "x"], "a": {"k": "v", "j": 3}}}},
            {"function": {"name": "g", "arguments": {}}}]})",
       "",
       "<bos><|turn>model\n<|tool_call>call:f{a:{j:3,k:<|\"|>v<|\"|>},b:[1,2.5,true,null,<|\"|>x<|\"|>]}<"
       "tool_call|>"
       "<|tool_call>call:g{}<tool_call|><|tool_response>"},
      {"18",
       R"({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": null}}],
           "tool_responses": [{"name": "f", "response": {"z": 1, "l": [true], "a": "s"}},
                              {"name": "f", "response": null}, {"response": 2}]})",
       "",
       "<bos><|turn>model\n<|tool_call>call:f{}<tool_call|>"
       "<|tool_response>response:f{a:<|\"|>s<|\"|>,l:[true],z:1}<tool_response|>"
       "<|tool_response>response:f{value:null}<tool_response|>"
       "<|tool_response>response:unknown{value:2}<tool_response|>"},
      {"19", R"({"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"})",
       R"("add_generation_prompt": false)", "<bos><|turn>model\nab<turn|>\n"},
      {"20", R"({"role": "user", "content": ""})", "", std::string("<bos><|turn>user\n<turn|>\n") + kOff},
      {"20 b", R"({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"})",
       R"("add_generation_prompt": false)", "<bos><|turn>user\nx<turn|>\n<|turn>model\ny<turn|>\n"},
      {"two user turns", R"({"role": "user", "content": "a"}, {"role": "user", "content": "b"})", "",
       std::string("<bos><|turn>user\na<turn|>\n<|turn>user\nb<turn|>\n") + kOff},
      {"system parts have a space each",
       R"({"role": "system", "content": [{"type": "text", "text": " a "}, {"type": "text", "text": "b"}]})",
       "", std::string("<bos><|turn>system\na b <turn|>\n") + kOff},
      {"a later system message is a turn",
       R"({"role": "user", "content": "a"}, {"role": "system", "content": " b"})", "",
       std::string("<bos><|turn>user\na<turn|>\n<|turn>system\nb<turn|>\n") + kOff},
      {"an object as result keeps its fields",
       kWeatherCall + R"(, {"role": "tool", "tool_call_id": "1", "content": {"temp": -3, "Sky": "clear"}})",
       "",
       "<bos>" + asked + thought + kWeatherCallText +
           "<|tool_response>response:get_weather{Sky:<|\"|>clear<|\"|>,temp:-3}<tool_response|>"},
      {"content after results opens a new turn",
       R"({"role": "assistant", "content": "done", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]},
          {"role": "tool", "tool_call_id": "1", "content": "r"})",
       "",
       std::string("<bos><|turn>model\n<|tool_call>call:f{}<tool_call|><|tool_response>response:f{value:<|\"|"
                   ">r<|\"|>}"
                   "<tool_response|>done<turn|>\n") +
           kOff},
      {"no messages", "", "", std::string("<bos>") + kOff},
      {"a result without a call is not printed", R"({"role": "tool", "content": "x"})", "",
       std::string("<bos>") + kOff},
  };
}

TEST(Chat, RendersTheWorkedExamples) {
  for (const Worked& example : worked_examples()) {
    const std::string request =
        "{\"messages\": [" + example.messages + "]" + (example.rest.empty() ? "" : ", " + example.rest) + "}";
    const std::string got = render_chat(request);
    EXPECT_TRUE(got == example.rendered) << example.name << ": " << first_difference(got, example.rendered);
  }
}

// What a reply would have seen had it not been cut, to the last character.
TEST(Chat, LeavesTheLastMessageOpen) {
  const auto render = [](const std::string& messages, const std::string& rest) {
    return render_chat("{\"messages\": [" + messages + "]" + rest + "}");
  };
  const std::string on = R"(, "continue_final_message": true)", thinking = R"(, "enable_thinking": true)";
  const std::string user = R"({"role": "user", "content": "Count."})";
  const auto said = [](const std::string& text, const std::string& more = "") {
    return R"(, {"role": "assistant", "content": ")" + text + "\"" + more + "}";
  };
  for (const std::string& mode : {std::string(), thinking}) {
    const std::string begun = render(user, mode);
    EXPECT_EQ(render(user + said(""), mode + on), begun);
    EXPECT_EQ(render(user + said(" one, two "), mode + on), begun + " one, two ");
    EXPECT_EQ(render(user + R"(, {"role": "assistant", "content": [{"type": "text", "text": "a "},
                                  {"type": "text", "text": " b"}]})",
                     mode + on),
              begun + "a  b");
    EXPECT_EQ(render(user + said("x", R"(, "reasoning_content": "hm")"), mode + on),
              render(user, mode).substr(0, begun.find("<|turn>model\n") + 13) +
                  "<|channel>thought\nhm\n<channel|>x");
    EXPECT_EQ(render(user + said("", R"(, "reasoning_content": "first")"), mode + on),
              begun.substr(0, begun.find("<|turn>model\n") + 13) + "<|channel>thought\nfirst");
    EXPECT_EQ(render(user + said("x"), mode + on + R"(, "add_generation_prompt": false)"), begun + "x");
  }
  // After a tool's result the turn is open already.
  const std::string result = render(kWeatherCall + "," + kWeatherResult, ", " + kWeatherTool);
  EXPECT_EQ(render(kWeatherCall + "," + kWeatherResult + said("It is "), ", " + kWeatherTool + on),
            result + "It is ");
  // Earlier messages are as ever.
  EXPECT_EQ(render(user + said(" done ") + "," + user + said("and "), on),
            render(user + said(" done ") + "," + user, "") + "and ");
}

std::string declaration(const std::string& parameters) {
  const std::string text =
      render_chat(R"({"messages": [], "add_generation_prompt": false, "tools": [{"function":
    {"name": "f", "description": "d", "parameters": )" +
                  parameters + "}}]}");
  const std::string before =
      "<bos><|turn>system\n<|tool>declaration:f{description:<|\"|>d<|\"|>,parameters:{";
  const std::string after = "}}<tool|><turn|>\n";
  EXPECT_TRUE(text.starts_with(before) && text.ends_with(after)) << text;
  std::string inside = text.substr(before.size(), text.size() - before.size() - after.size());
  for (size_t at; (at = inside.find("<|\"|>")) != std::string::npos;) inside.replace(at, 5, "'");
  return inside;
}

TEST(Chat, DeclaresRichParameters) {
  // Worked examples 11 and 12, with ' for <|"|>.
  EXPECT_EQ(
      declaration(R"({"type": "object", "required": ["city"], "properties": {
      "unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "enum": [1, 2]},
      "tags": {"type": "array", "description": "Tags", "items": {"type": "string"}},
      "opt": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
      "n": {"type": "boolean", "nullable": true}, "city": {"type": "string", "description": "City name"}}})"),
      "properties:{city:{description:'City name',type:'STRING'},days:{type:'INTEGER'},"
      "n:{nullable:true,type:'BOOLEAN'},opt:{properties:{x:{type:'NUMBER'}},required:['x'],type:'OBJECT'},"
      "tags:{description:'Tags',items:{type:'STRING'},type:'ARRAY'},unit:{enum:['C','F'],type:'STRING'}},"
      "required:['city'],type:'OBJECT'");
  EXPECT_EQ(
      declaration(R"({"type": "object", "properties": {"items": {"type": "array", "description": "L", "items":
      {"type": "object", "properties": {"q": {"type": "integer", "description": "qty"}}, "required": ["q"]}}}})"),
      "properties:{items:{description:'L',items:{properties:{q:{description:'qty',type:'INTEGER'}},"
      "required:['q'],type:'OBJECT'},type:'ARRAY'}},type:'OBJECT'");
}

TEST(Chat, DeclaresOddSchemas) {
  EXPECT_EQ(
      declaration(
          R"({"properties": {"a": {"type": "object", "additionalProperties": false, "x": {"type": "string"}}}})"),
      "properties:{a:{properties:{additionalProperties:{type:''},x:{type:'STRING'}},type:'OBJECT'}}");
  EXPECT_EQ(declaration(R"({"type": "object", "required": ["a"]})"), "required:['a'],type:'OBJECT'");
  EXPECT_EQ(declaration(R"({"properties": {"a": {"type": ["string", "null"], "enum": ["x"]}}})"),
            "properties:{a:{enum:['x'],nullable:true,type:'STRING'}}");
  EXPECT_EQ(declaration(R"({"properties": {"b": {}, "A": {"description": ""}, "a": true}})"),
            "properties:{A:{type:''},a:{type:''},b:{type:''}}");
  // Nested arrays and enums go through the value printer, with quoted keys.
  EXPECT_EQ(
      declaration(
          R"({"properties": {"m": {"type": "array", "items": {"type": "array", "items": {"type": "integer"},
                            "maxItems": 3, "x": null}}}})"),
      "properties:{m:{items:{items:{'type':'integer'},maxItems:3,type:'ARRAY'},type:'ARRAY'}}");
}

TEST(Chat, SortsKeysWithoutCaseAndKeepsTies) {
  const std::string text =
      render_chat(R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f",
    "arguments": {"b": 1, "B": 2, "a": 3, "C": 4, "Ä": 5, "Z": 6, "ä": 7, "_": 8}}}]}]})");
  EXPECT_NE(text.find("call:f{_:8,a:3,b:1,B:2,C:4,Z:6,\u00c4:5,\u00e4:7}"), std::string::npos) << text;
}

TEST(Chat, PrintsNumbersAsPython) {
  const std::string text =
      render_chat(R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f",
    "arguments": {"v": [1, -0, 2.0, 1e-7, 1E5, 1e16, 12345678901234567890123, -9223372036854775809,
                        18446744073709551615, 0.1, -0.0]}}}]}]})");
  EXPECT_NE(text.find("[1,0,2.0,1e-07,100000.0,1e+16,12345678901234567890123,-9223372036854775809,"
                      "18446744073709551615,0.1,-0.0]"),
            std::string::npos)
      << text;
}

TEST(Chat, NamesWhatItRefuses) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"messages": [], "continue_final_message": true})", "the last message is missing"},
      {R"({"messages": [{"role": "user", "content": "x"}], "continue_final_message": true})",
       "the last message is of role \"user\", expected the assistant's"},
      {R"({"messages": [{"role": "assistant", "content": "x"}], "continue_final_message": true,
           "add_generation_prompt": true})",
       "both true"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}],
           "continue_final_message": true})",
       "messages[0].tool_calls: a message with calls cannot be continued"},
      {R"([])", "the request is an array"},
      {R"({})", "messages is missing, expected a list"},
      {R"({"messages": {}})", "messages is an object"},
      {R"({"messages": [7]})", "messages[0] is a number"},
      {R"({"messages": [{"content": "x"}]})", "messages[0].role is missing"},
      {R"({"messages": [{"role": "user", "content": "x"}, {"role": "robot"}]})",
       "messages[1].role is \"robot\""},
      {R"({"messages": [{"role": "model", "content": "x"}]})", "messages[0].role is \"model\""},
      {R"({"messages": [{"role": "user", "content": 5}]})", "messages[0].content is a number"},
      {R"({"messages": [{"role": "user", "content": {"type": "text"}}]})",
       "messages[0].content is an object"},
      {R"({"messages": [{"role": "user", "content": ["x"]}]})", "messages[0].content[0].type is missing"},
      {R"({"messages": [{"role": "user", "content": [{"type": "pdf"}]}]})",
       "messages[0].content[0].type is \"pdf\""},
      {R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})",
       "messages[0].content[0].text is missing"},
      {R"({"messages": [{"role": "system", "content": [{"type": "image"}]}]})", "text parts only"},
      {R"({"messages": [{"role": "system", "content": 1}]})", "messages[0].content is a number"},
      {R"({"messages": [{"role": "assistant", "reasoning": ["x"]}]})", "messages[0].reasoning is an array"},
      {R"({"messages": [{"role": "assistant", "tool_calls": {}}]})", "messages[0].tool_calls is an object"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{}]}]})",
       "messages[0].tool_calls[0].function is missing"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]})",
       "function.name is missing"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]})",
       "messages[0].tool_calls[0].function.arguments is missing"},
      {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]})",
       "messages[0].tool_calls[0].function.arguments is a string"},
      {R"({"messages": [{"role": "assistant", "tool_responses": [{"name": "f"}]}]})",
       "tool_responses[0].response"},
      {R"({"messages": [], "tools": {}})", "tools is an object"},
      {R"({"messages": [], "tools": [{}]})", "tools[0].function is missing"},
      {R"({"messages": [], "tools": [{"function": {"name": ""}}]})", "tools[0].function.name is empty"},
      {R"({"messages": [], "tools": [{"function": {"name": "f", "description": 3}}]})",
       "description is a number"},
      {R"({"messages": [], "tools": [{"function": {"name": "f", "parameters": [1]}}]})",
       "parameters is an array"},
      {R"({"messages": [], "tools": [{"function": {"name": "f", "parameters": {"properties": [1]}}}]})",
       "tools[0].function.parameters.properties is an array"},
      {R"({"messages": [], "tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {"type": ["x", "y"]}}}}}]})",
       "parameters.properties.a.type is an array"},
      {R"({"messages": [], "enable_thinking": "yes"})", "enable_thinking is a string"},
      {R"({"messages": [], "add_generation_prompt": 1})", "add_generation_prompt is a number"},
      {R"({"messages": [)", "at byte 14"},
      {"{\"messages\":\n[\"\xFF\"]}", "line 2"},
      {R"({"messages": ["\ud800"]})", "not valid JSON"},
      {R"({"messages": [1e999]})", "out of range"},
      {"", "chat request"},
  };
  for (const auto& [request, message] : rows) {
    EXPECT_NE(error_of(request).find(message), std::string::npos) << request << "\n" << error_of(request);
  }
}

TEST(Chat, BoundsDepthAndKeys) {
  std::string deep = R"({"messages": )";
  for (int i = 0; i < 100000; ++i) deep += '[';
  EXPECT_NE(error_of(deep).find("nested deeper than 96"), std::string::npos);
  std::string wide = R"({"messages": [], "x": {)";
  for (int i = 0; i < 5000; ++i) wide += fmt::format("{}\"k{}\": 1", i == 0 ? "" : ",", i);
  EXPECT_NE(error_of(wide + "}}").find("more than 4096 keys"), std::string::npos);
}

TEST(Chat, ParsesArgumentStrings) {
  Json request = parse_json(
      R"({"messages": [{"role": "assistant", "tool_calls": [
        {"function": {"name": "f", "arguments": "{\"n\": 12345678901234567890123, \"a\": 1.0}"}}]}]})",
      ErrorKind::kBadRequest, "request");
  parse_argument_strings(request);
  EXPECT_NE(render_request(request).find("call:f{a:1.0,n:12345678901234567890123}"), std::string::npos);
  for (const char* bad : {"[1]", "{", "", "7"}) {
    request["messages"][0]["tool_calls"][0]["function"]["arguments"] = bad;
    EXPECT_THROW(parse_argument_strings(request), Error) << bad;
  }
  Json odd = Json::array({1});
  parse_argument_strings(odd);  // left to render_request to refuse
  EXPECT_EQ(odd, Json::array({1}));
}

TEST(Chat, SaysWhenThePromptOpensAThought) {
  for (const Worked& example : worked_examples()) {
    EXPECT_EQ(opens_thought(example.rendered), std::string_view(example.name) == "15") << example.name;
  }
}

TEST(Chat, SurvivesMutation) {
  std::vector<std::string> requests;
  const Json golden = test::fixture_json("chat/cases.json");
  for (const Json& c : golden.at("cases")) {
    requests.push_back(c.at("input").dump());
    Json open = c.at("input");
    open["continue_final_message"] = true;
    open["messages"].push_back({{"role", "assistant"}, {"content", "and "}, {"reasoning", "hm"}});
    open.erase("add_generation_prompt");
    requests.push_back(open.dump());
  }
  int rendered = 0, refused = 0;
  for (uint64_t seed = 1; seed <= 20000; ++seed) {
    SCOPED_TRACE(seed);
    test::Random random(seed);
    const std::string request = test::mutated(requests[seed % requests.size()], random);
    try {
      EXPECT_TRUE(render_chat(request).starts_with("<bos>"));
      ++rendered;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadRequest) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(rendered, 1000);
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace tessera
