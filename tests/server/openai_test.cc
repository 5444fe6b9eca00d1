// /v1/chat/completions and /v1/completions, request and answer, through a socket.
#include "client.h"

namespace tessera::server {
namespace {

class OpenAi : public ScriptedServer {};

TEST_F(OpenAi, AnswersWithTheFieldsThatClientsRead) {
  start();
  model_->play({{prefill_event(12, 12), thought_event("hm"), text_event("Hello"), text_event(" there")}});
  const Answer answer = post("/v1/chat/completions", {{"model", "x"}, {"messages", user("hi")}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.has("Content-Type: application/json"));
  const Json json = answer.json();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "x");
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("chatcmpl-"));
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "Hello there");
  EXPECT_EQ(choice["message"]["reasoning_content"], "hm");
  EXPECT_EQ(choice["message"]["reasoning"], "hm");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 12);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
  EXPECT_EQ(json["usage"]["total_tokens"], 15);
  EXPECT_EQ(json["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
  EXPECT_EQ(json["timings"]["cache_n"], 4);
  EXPECT_EQ(json["timings"]["prompt_n"], 8);
  EXPECT_FALSE(choice.contains("warning"));
}

TEST_F(OpenAi, StreamsRoleThenDeltasThenFinishThenUsageThenDone) {
  start();
  model_->play(
      {{prefill_event(4, 8), prefill_event(8, 8), thought_event("t"), text_event("a"), text_event("b")},
       FinishReason::kLength});
  const Answer answer =
      post("/v1/chat/completions",
           {{"messages", user("hi")}, {"stream", true}, {"stream_options", {{"include_usage", true}}}});
  ASSERT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.has("Content-Type: text/event-stream"));
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
  const auto events = answer.events();
  ASSERT_EQ(events.size(), 6U) << answer.body;
  const auto delta = [&](size_t i) { return events[i]["choices"][0]["delta"]; };
  EXPECT_EQ(delta(0), (Json{{"role", "assistant"}, {"content", nullptr}}));
  EXPECT_EQ(delta(1), (Json{{"reasoning_content", "t"}, {"reasoning", "t"}}));
  EXPECT_EQ(delta(2), (Json{{"content", "a"}}));
  EXPECT_EQ(delta(3), (Json{{"content", "b"}}));
  EXPECT_EQ(delta(4), Json::object());
  EXPECT_EQ(events[4]["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(events[5]["choices"].empty());
  EXPECT_EQ(events[5]["usage"]["total_tokens"], 15);
  for (const auto& event : events) {
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    EXPECT_EQ(event["id"], events[0]["id"]);
  }
}

TEST_F(OpenAi, StreamsProgressWhenAsked) {
  start();
  model_->play({{prefill_event(4, 8), prefill_event(8, 8), text_event("a")}});
  const Answer answer =
      post("/v1/chat/completions", {{"messages", user("hi")}, {"stream", true}, {"return_progress", true}});
  const auto events = answer.events();
  ASSERT_GE(events.size(), 3U);
  EXPECT_EQ(events[1]["prompt_progress"]["total"], 12);
  EXPECT_EQ(events[1]["prompt_progress"]["cache"], 4);
  EXPECT_EQ(events[1]["prompt_progress"]["processed"], 8);
  EXPECT_EQ(events[2]["prompt_progress"]["processed"], 12);
}

TEST_F(OpenAi, ToolCallsComeWholeAndInDeltas) {
  start();
  model_->play({{call_event("a", R"({"x":1})"), call_event("b", "{}")}, FinishReason::kToolCall});
  Json body = {{"messages", user("hi")},
               {"tools", Json::array({{{"type", "function"}, {"function", {{"name", "a"}}}},
                                      {{"type", "function"}, {"function", {{"name", "b"}}}}})}};
  const Json choice = post("/v1/chat/completions", body).json()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 2U);
  EXPECT_EQ(choice["message"]["tool_calls"][0]["type"], "function");
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], R"({"x":1})");
  EXPECT_NE(choice["message"]["tool_calls"][0]["id"], choice["message"]["tool_calls"][1]["id"]);
  body["stream"] = true;
  const auto events = post("/v1/chat/completions", body).events();
  ASSERT_EQ(events.size(), 4U);
  const Json first = events[1]["choices"][0]["delta"]["tool_calls"][0];
  const Json second = events[2]["choices"][0]["delta"]["tool_calls"][0];
  EXPECT_EQ(first["index"], 0);
  EXPECT_EQ(first["function"]["name"], "a");
  EXPECT_EQ(second["index"], 1);
  EXPECT_EQ(events[3]["choices"][0]["finish_reason"], "tool_calls");
}

TEST_F(OpenAi, ACallThatCannotBeReadIsContentWithAWarning) {
  start();
  model_->play({{text_event("So: "), call_event("", "call:f{x:", false)}, FinishReason::kToolCall});
  Json body = {{"messages", user("hi")}};
  const Json choice = post("/v1/chat/completions", body).json()["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "So: call:f{x:");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice.contains("warning"));
  body["stream"] = true;
  const auto events = post("/v1/chat/completions", body).events();
  EXPECT_EQ(events[2]["choices"][0]["delta"]["content"], "call:f{x:");
  EXPECT_TRUE(events.back().contains("warning"));
}

TEST_F(OpenAi, AnEmptyAnswerSaysSo) {
  start();
  model_->play({{thought_event("long")}, FinishReason::kLength});
  const Json choice = post("/v1/chat/completions", {{"messages", user("hi")}}).json()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_TRUE(choice.contains("warning"));
}

TEST_F(OpenAi, OptionsReachTheEngine) {
  start();
  model_->play({{text_event("x")}});
  const Json body = {
      {"messages", user("hi")},
      {"temperature", 0.25},
      {"top_p", 0.5},
      {"top_k", 7},
      {"min_p", 0.1},
      {"presence_penalty", 1.5},
      {"frequency_penalty", -1},
      {"repetition_penalty", 1.25},
      {"seed", 42},
      {"max_completion_tokens", 9},
      {"stop", {"a", "b"}},
      {"logit_bias", {{"7", -100}, {"9", 2.5}}},
      {"logprobs", true},
      {"top_logprobs", 3},
      {"reasoning_effort", "low"},
      {"parallel_tool_calls", false},
      {"tool_choice", {{"type", "function"}, {"function", {{"name", "f"}}}}},
      {"tools", Json::array({{{"type", "function"},
                              {"function", {{"name", "f"}, {"parameters", {{"type", "object"}}}}}}})}};
  ASSERT_EQ(post("/v1/chat/completions", body).status, 200);
  const GenerateOptions o = model_->options();
  EXPECT_FLOAT_EQ(o.sampling.temperature, 0.25F);
  EXPECT_FLOAT_EQ(o.sampling.top_p, 0.5F);
  EXPECT_EQ(o.sampling.top_k, 7);
  EXPECT_FLOAT_EQ(o.sampling.min_p, 0.1F);
  EXPECT_FLOAT_EQ(o.sampling.presence_penalty, 1.5F);
  EXPECT_FLOAT_EQ(o.sampling.frequency_penalty, -1.0F);
  EXPECT_FLOAT_EQ(o.sampling.repetition_penalty, 1.25F);
  EXPECT_EQ(o.sampling.seed, 42U);
  EXPECT_EQ(o.max_tokens, 9);
  EXPECT_EQ(o.stop, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(o.logit_bias.size(), 2U);
  EXPECT_EQ(o.logit_bias[0].id, 7);
  EXPECT_EQ(o.top_logprobs, 3);
  EXPECT_GT(o.reasoning_budget_tokens, 0);
  EXPECT_FALSE(o.format.parallel_tool_calls);
  EXPECT_EQ(o.format.tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(o.format.tool_name, "f");
  ASSERT_EQ(o.format.tools.size(), 1U);
  EXPECT_EQ(o.format.tools[0].parameters_json, R"({"type":"object"})");
  EXPECT_NE(model_->prompt().rendered.find("<|think|>"), std::string::npos);
  EXPECT_NE(model_->prompt().rendered.find("declaration:f"), std::string::npos);
}

TEST_F(OpenAi, ResponseFormats) {
  start();
  model_->play({{text_event("{}")}});
  Json body = {{"messages", user("hi")}, {"response_format", {{"type", "json_object"}}}};
  ASSERT_EQ(post("/v1/chat/completions", body).status, 200);
  EXPECT_TRUE(model_->options().format.json_object);
  body["response_format"] = {{"type", "json_schema"},
                             {"json_schema", {{"name", "n"}, {"schema", {{"type", "object"}}}}}};
  ASSERT_EQ(post("/v1/chat/completions", body).status, 200);
  EXPECT_EQ(model_->options().format.json_schema, R"({"type":"object"})");
  body["response_format"] = {{"type", "json_schema"}};
  EXPECT_EQ(post("/v1/chat/completions", body).status, 400);
}

TEST_F(OpenAi, ReasoningOnAndOff) {
  start();
  model_->play({{text_event("x")}});
  const auto thinks = [&](Json extra) {
    Json body = {{"messages", user("hi")}};
    body.update(extra);
    EXPECT_EQ(post("/v1/chat/completions", body).status, 200);
    return model_->prompt().rendered.find("<|think|>") != std::string::npos;
  };
  EXPECT_FALSE(thinks(Json::object()));
  EXPECT_TRUE(thinks({{"reasoning_effort", "high"}}));
  EXPECT_FALSE(thinks({{"reasoning_effort", "none"}}));
  EXPECT_TRUE(thinks({{"chat_template_kwargs", {{"enable_thinking", true}}}}));
  EXPECT_TRUE(thinks({{"reasoning", {{"effort", "medium"}}}}));
  EXPECT_FALSE(thinks({{"reasoning_effort", "high"}, {"reasoning_budget_tokens", 0}}));
}

TEST_F(OpenAi, HistoryWithToolsIsRendered) {
  start();
  model_->play({{text_event("x")}});
  const Json messages = Json::array(
      {{{"role", "user"}, {"content", "w?"}},
       {{"role", "assistant"},
        {"content", nullptr},
        {"tool_calls", Json::array({{{"id", "c1"},
                                     {"type", "function"},
                                     {"function", {{"name", "f"}, {"arguments", R"({"x":1})"}}}}})}},
       {{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "rain"}}});
  ASSERT_EQ(post("/v1/chat/completions", {{"messages", messages}}).status, 200);
  const std::string prompt = model_->prompt().rendered;
  EXPECT_NE(prompt.find("<|tool_call>call:f{x:1}<tool_call|>"), std::string::npos) << prompt;
  EXPECT_NE(prompt.find("response:f{value:<|\"|>rain<|\"|>}"), std::string::npos) << prompt;
}

TEST_F(OpenAi, SeveralChoices) {
  start();
  model_->play({{text_event("x")}});
  Json body = {{"messages", user("hi")}, {"n", 3}, {"seed", 5}};
  const Json json = post("/v1/chat/completions", body).json();
  ASSERT_EQ(json["choices"].size(), 3U);
  EXPECT_EQ(json["choices"][2]["index"], 2);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 12);
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
  EXPECT_EQ(model_->seeds(), (std::multiset<uint64_t>{5, 6, 7}))
      << "each choice draws with a seed of its own";
  body["stream"] = true;
  EXPECT_EQ(post("/v1/chat/completions", body).events().size(), 9U);
}

TEST_F(OpenAi, Completions) {
  start();
  model_->play({{text_event("lo"), text_event("!")}});
  const Json json = post("/v1/completions", {{"prompt", "hel"}, {"echo", true}}).json();
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"][0]["text"], "hello!");
  EXPECT_EQ(model_->prompt().raw.text, "<bos>hel");
  EXPECT_EQ(model_->options().max_tokens, 16);
  const Json two = post("/v1/completions", {{"prompt", {"a", "b"}}}).json();
  ASSERT_EQ(two["choices"].size(), 2U);
  EXPECT_EQ(two["usage"]["prompt_tokens"], 24);
  EXPECT_EQ(post("/v1/completions", {{"prompt", {1, 2, 3}}}).status, 200);
  EXPECT_EQ(model_->prompt().raw.ids, (std::vector<int32_t>{1, 2, 3}));
  const Answer stream = post("/v1/completions", {{"prompt", "x"}, {"stream", true}});
  EXPECT_EQ(stream.events()[0]["choices"][0]["text"], "lo");
  EXPECT_EQ(stream.events()[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(stream.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(OpenAi, ErrorsNameThePlace) {
  start();
  const auto message = [&](const Json& body) {
    const Answer answer = post("/v1/chat/completions", body);
    EXPECT_EQ(answer.status, 400) << dump(body);
    EXPECT_EQ(answer.json()["error"]["code"], 400);
    EXPECT_EQ(answer.json()["error"]["type"], "invalid_request_error");
    return answer.json()["error"]["message"].get<std::string>();
  };
  const auto names = [](const std::string& text, const char* place) {
    return text.find(place) != std::string::npos;
  };
  EXPECT_TRUE(names(message(Json::object()), "messages"));
  EXPECT_TRUE(names(message({{"messages", "x"}}), "messages"));
  EXPECT_TRUE(names(message({{"messages", Json::array({{{"role", "user"}, {"content", 5}}})}}),
                    "messages[0].content"));
  EXPECT_TRUE(names(message({{"messages", Json::array({{{"role", "robot"}, {"content", "x"}}})}}),
                    "messages[0].role"));
  EXPECT_TRUE(names(message({{"messages", user("x")}, {"temperature", "hot"}}), "temperature"));
  EXPECT_TRUE(names(message({{"messages", user("x")}, {"temperature", 1e9}}), "temperature"));
  EXPECT_TRUE(names(message({{"messages", user("x")}, {"max_tokens", 1.5}}), "max_tokens"));
  EXPECT_TRUE(names(message({{"messages", user("x")}, {"tools", Json::array({5})}}), "tools[0]"));
  EXPECT_TRUE(names(message({{"messages", user("x")}, {"tool_choice", "required"}}), "tool_choice"));
  EXPECT_TRUE(names(message({{"messages", user("x")}, {"n", 0}}), "n "));
  EXPECT_TRUE(names(message(Json::array({1})), "the request"));
  model_->play({{text_event("x")}, FinishReason::kStop, 5000});
  const Answer large = post("/v1/chat/completions", {{"messages", user("x")}});
  EXPECT_EQ(large.status, 400);
  EXPECT_EQ(large.json()["error"]["type"], "exceed_context_size_error");
  EXPECT_EQ(large.json()["error"]["n_prompt_tokens"], 5000);
  EXPECT_EQ(large.json()["error"]["n_ctx"], 4096);
}

TEST_F(OpenAi, AnErrorBeforeTheFirstTokenOfAStreamIsAStatus) {
  start();
  Script script{{text_event("x")}};
  script.before = [] { throw Error(ErrorKind::kBadRequest, "no"); };
  model_->play(script);
  EXPECT_EQ(post("/v1/chat/completions", {{"messages", user("hi")}, {"stream", true}}).status, 400);
}

}  // namespace
}  // namespace tessera::server
