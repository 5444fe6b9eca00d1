// Anthropic, Ollama, Responses and the paths that do not generate.
#include <algorithm>

#include "client.h"

namespace tessera::server {
namespace {

class Apis : public ScriptedServer {
 protected:
  static std::vector<std::string> names(const Answer& answer) {
    std::vector<std::string> out;
    for (size_t at = 0; (at = answer.body.find("event: ", at)) != std::string::npos; ++at) {
      out.push_back(answer.body.substr(at + 7, answer.body.find('\n', at) - at - 7));
    }
    return out;
  }
  static std::vector<Json> lines(const Answer& answer) {
    std::vector<Json> out;
    for (size_t at = 0; at < answer.body.size();) {
      const size_t end = answer.body.find('\n', at);
      out.push_back(Json::parse(answer.body.substr(at, end - at), nullptr, false));
      at = end + 1;
    }
    return out;
  }
  static std::vector<Event> rich() {
    return {prefill_event(8, 8), thought_event("hm"), text_event("Hel"), text_event("lo"),
            call_event("f", R"({"x":1})")};
  }
};

TEST_F(Apis, AnthropicAnswers) {
  start();
  model_->play({rich(), FinishReason::kToolCall});
  const Answer answer = post("/v1/messages", {{"model", "m"}, {"max_tokens", 50}, {"messages", user("hi")}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json json = answer.json();
  EXPECT_EQ(json["type"], "message");
  EXPECT_EQ(json["role"], "assistant");
  ASSERT_EQ(json["content"].size(), 3U);
  EXPECT_EQ(json["content"][0]["thinking"], "hm");
  EXPECT_EQ(json["content"][1]["text"], "Hello");
  EXPECT_EQ(json["content"][2]["type"], "tool_use");
  EXPECT_EQ(json["content"][2]["input"]["x"], 1);
  EXPECT_EQ(json["stop_reason"], "tool_use");
  EXPECT_EQ(json["usage"]["input_tokens"], 8);
  EXPECT_EQ(json["usage"]["cache_read_input_tokens"], 4);
}

TEST_F(Apis, AnthropicStreamsBlocks) {
  start();
  model_->play({rich(), FinishReason::kToolCall});
  const Answer answer =
      post("/v1/messages", {{"max_tokens", 50}, {"stream", true}, {"messages", user("hi")}});
  EXPECT_EQ(names(answer),
            (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                      "content_block_delta", "content_block_stop", "content_block_start",
                                      "content_block_delta", "content_block_delta", "content_block_stop",
                                      "content_block_start", "content_block_delta", "content_block_stop",
                                      "message_delta", "message_stop"}));
  const auto events = answer.events();
  EXPECT_EQ(events[0]["message"]["usage"]["input_tokens"], 12);
  EXPECT_EQ(events[2]["delta"]["thinking"], "hm");
  EXPECT_EQ(events[3]["delta"]["type"], "signature_delta");
  EXPECT_EQ(events[6]["delta"]["text"], "Hel");
  EXPECT_EQ(events[10]["delta"]["partial_json"], R"({"x":1})");
  EXPECT_EQ(events[10]["index"], 2);
  EXPECT_EQ(events[12]["delta"]["stop_reason"], "tool_use");
}

TEST_F(Apis, AnthropicHistoryBecomesTheChatFormat) {
  start();
  Script script = {{text_event("x")}, FinishReason::kStopString};
  script.stop_string = "END";
  model_->play(std::move(script));
  const Json body = {
      {"max_tokens", 5},
      {"system",
       Json::array({{{"type", "text"}, {"text", "Be terse."}, {"cache_control", {{"type", "ephemeral"}}}}})},
      {"stop_sequences", {"FIN", "END"}},
      {"thinking", {{"type", "enabled"}, {"budget_tokens", 2048}}},
      {"tools", Json::array({{{"name", "f"}, {"description", "d"}, {"input_schema", {{"type", "object"}}}}})},
      {"tool_choice", {{"type", "any"}, {"disable_parallel_tool_use", true}}},
      {"messages",
       Json::array(
           {{{"role", "user"}, {"content", "w?"}},
            {{"role", "assistant"},
             {"content",
              Json::array({{{"type", "tool_use"}, {"id", "t1"}, {"name", "f"}, {"input", {{"x", 1}}}}})}},
            {{"role", "user"},
             {"content", Json::array({{{"type", "tool_result"}, {"tool_use_id", "t1"}, {"content", "rain"}},
                                      {{"type", "text"}, {"text", "and?"}}})}}})}};
  const Answer answer = post("/v1/messages", body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["stop_reason"], "stop_sequence");
  EXPECT_EQ(answer.json()["stop_sequence"], "END");
  const std::string prompt = model_->prompt().rendered;
  for (const char* part : {"<|think|>\nBe terse.", "declaration:f", "<|tool_call>call:f{x:1}<tool_call|>",
                           "response:f{value:<|\"|>rain<|\"|>}", "<|turn>user\nand?"}) {
    EXPECT_NE(prompt.find(part), std::string::npos) << part << " in " << prompt;
  }
  EXPECT_EQ(model_->options().reasoning_budget_tokens, 2048);
  EXPECT_EQ(model_->options().format.tool_choice, ToolChoice::kRequired);
  EXPECT_FALSE(model_->options().format.parallel_tool_calls);
  const Answer count = post("/v1/messages/count_tokens", {{"messages", user("hi")}});
  EXPECT_EQ(count.json(), (Json{{"input_tokens", 12}}));
}

TEST_F(Apis, AnthropicErrors) {
  start();
  for (const Json& body :
       {Json{{"messages", user("hi")}}, Json{{"max_tokens", 5}},
        Json{{"max_tokens", 5}, {"messages", Json::array({{{"role", "system"}, {"content", "x"}}})}},
        Json{{"max_tokens", 5}, {"messages", user("x")}, {"thinking", {{"type", "maybe"}}}}}) {
    const Answer answer = post("/v1/messages", body);
    EXPECT_EQ(answer.status, 400) << dump(body);
    EXPECT_EQ(answer.json()["type"], "error");
    EXPECT_EQ(answer.json()["error"]["type"], "invalid_request_error");
  }
}

TEST_F(Apis, OllamaChat) {
  start();
  model_->play({rich(), FinishReason::kToolCall});
  const Json body = {{"model", "m"},
                     {"messages", user("hi")},
                     {"think", true},
                     {"options", {{"num_predict", 7}, {"temperature", 0}}}};
  const Answer answer = post("/api/chat", body);
  EXPECT_TRUE(answer.has("Content-Type: application/x-ndjson"));
  const auto pieces = lines(answer);
  ASSERT_EQ(pieces.size(), 5U) << answer.body;
  EXPECT_EQ(pieces[0]["message"]["thinking"], "hm");
  EXPECT_EQ(pieces[1]["message"]["content"], "Hel");
  EXPECT_EQ(pieces[3]["message"]["tool_calls"][0]["function"]["arguments"]["x"], 1);
  EXPECT_EQ(pieces[3]["done"], false);
  EXPECT_EQ(pieces[4]["done"], true);
  EXPECT_EQ(pieces[4]["done_reason"], "stop");
  EXPECT_EQ(pieces[4]["prompt_eval_count"], 12);
  EXPECT_EQ(pieces[4]["eval_count"], 4);
  EXPECT_EQ(model_->options().max_tokens, 7);
  EXPECT_NE(model_->prompt().rendered.find("<|think|>"), std::string::npos);
  Json whole = body;
  whole["stream"] = false;
  const Json json = post("/api/chat", whole).json();
  EXPECT_EQ(json["message"]["content"], "Hello");
  EXPECT_EQ(json["message"]["thinking"], "hm");
  EXPECT_EQ(json["done"], true);
}

TEST_F(Apis, OllamaGenerateAndFormat) {
  start();
  model_->play({{text_event("x")}});
  Json body = {{"model", "m"}, {"prompt", "p"}, {"system", "s"}, {"stream", false}, {"format", "json"}};
  EXPECT_EQ(post("/api/generate", body).json()["response"], "x");
  EXPECT_TRUE(model_->options().format.json_object);
  EXPECT_NE(model_->prompt().rendered.find("<|turn>system\ns<turn|>"), std::string::npos);
  body["format"] = {{"type", "object"}};
  EXPECT_EQ(post("/api/generate", body).status, 200);
  EXPECT_EQ(model_->options().format.json_schema, R"({"type":"object"})");
  body["raw"] = true;
  EXPECT_EQ(post("/api/generate", body).status, 200);
  EXPECT_EQ(model_->prompt().raw.text, "<bos>p");
  const Answer bad = post("/api/generate", {{"prompt", 5}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_TRUE(bad.json()["error"].is_string());
}

TEST_F(Apis, ResponsesWhole) {
  start();
  model_->play({rich(), FinishReason::kToolCall});
  const Answer answer =
      post("/v1/responses",
           {{"model", "m"}, {"input", "hi"}, {"instructions", "Be terse."}, {"max_output_tokens", 9}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json json = answer.json();
  EXPECT_EQ(json["object"], "response");
  EXPECT_EQ(json["status"], "completed");
  ASSERT_EQ(json["output"].size(), 3U);
  EXPECT_EQ(json["output"][0]["type"], "reasoning");
  EXPECT_EQ(json["output"][0]["content"][0]["text"], "hm");
  EXPECT_EQ(json["output"][1]["content"][0]["type"], "output_text");
  EXPECT_EQ(json["output"][1]["content"][0]["text"], "Hello");
  EXPECT_EQ(json["output"][2]["type"], "function_call");
  EXPECT_EQ(json["output"][2]["arguments"], R"({"x":1})");
  EXPECT_EQ(json["instructions"], "Be terse.");
  EXPECT_EQ(json["usage"]["input_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(model_->options().max_tokens, 9);
  model_->play({{text_event("x")}, FinishReason::kLength});
  const Json cut = post("/v1/responses", {{"input", "hi"}}).json();
  EXPECT_EQ(cut["status"], "incomplete");
  EXPECT_EQ(cut["incomplete_details"]["reason"], "max_output_tokens");
}

TEST_F(Apis, ResponsesStream) {
  start();
  model_->play({rich(), FinishReason::kToolCall});
  const Answer answer = post("/v1/responses", {{"input", "hi"}, {"stream", true}});
  const auto events = answer.events();
  const std::vector<std::string> wanted = {"response.created",
                                           "response.in_progress",
                                           "response.output_item.added",
                                           "response.reasoning_text.delta",
                                           "response.reasoning_text.done",
                                           "response.output_item.done",
                                           "response.output_item.added",
                                           "response.content_part.added",
                                           "response.output_text.delta",
                                           "response.output_text.delta",
                                           "response.output_text.done",
                                           "response.content_part.done",
                                           "response.output_item.done",
                                           "response.output_item.added",
                                           "response.function_call_arguments.delta",
                                           "response.function_call_arguments.done",
                                           "response.output_item.done",
                                           "response.completed"};
  EXPECT_EQ(names(answer), wanted);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    EXPECT_EQ(events[i]["type"], wanted[i]);
  }
  EXPECT_EQ(events.back()["response"]["output"].size(), 3U);
}

TEST_F(Apis, ResponsesHistory) {
  start();
  model_->play({{text_event("x")}});
  const Json input =
      Json::array({{{"role", "user"}, {"content", Json::array({{{"type", "input_text"}, {"text", "w?"}}})}},
                   {{"type", "reasoning"},
                    {"summary", Json::array()},
                    {"content", Json::array({{{"type", "reasoning_text"}, {"text", "ask"}}})}},
                   {{"type", "function_call"}, {"call_id", "c1"}, {"name", "f"}, {"arguments", R"({"x":1})"}},
                   {{"type", "function_call_output"}, {"call_id", "c1"}, {"output", "rain"}}});
  ASSERT_EQ(post("/v1/responses", {{"input", input}, {"reasoning", {{"effort", "low"}}}}).status, 200);
  const std::string prompt = model_->prompt().rendered;
  EXPECT_NE(prompt.find("thought\nask\n<channel|><|tool_call>call:f{x:1}"), std::string::npos) << prompt;
  EXPECT_NE(prompt.find("response:f{value:<|\"|>rain<|\"|>}"), std::string::npos) << prompt;
  EXPECT_EQ(post("/v1/responses", {{"input", "x"}, {"previous_response_id", "resp_1"}}).status, 400);
  EXPECT_EQ(post("/v1/responses", Json::object()).status, 400);
}

TEST_F(Apis, WhatDoesNotGenerate) {
  start();
  EXPECT_EQ(get("/v1/models").json()["data"][0]["id"], "scripted");
  EXPECT_EQ(get("/v1/models").json()["data"][0]["meta"]["n_ctx_train"], 4096);
  EXPECT_EQ(get("/props").json()["modalities"]["vision"], true);
  EXPECT_TRUE(get("/slots").json().is_array());
  EXPECT_EQ(get("/api/tags").json()["models"][0]["name"], "scripted");
  EXPECT_EQ(get("/api/version").json()["version"], "0.1.0");
  EXPECT_EQ(get("/api/ps").status, 200);
  const Json capabilities = post("/api/show", {{"model", "x"}}).json()["capabilities"];
  EXPECT_NE(std::find(capabilities.begin(), capabilities.end(), "vision"), capabilities.end());
  EXPECT_EQ(post("/tokenize", {{"content", "ab"}}).json()["tokens"], (Json{97, 98}));
  EXPECT_EQ(post("/tokenize", {{"content", "a"}, {"with_pieces", true}}).json()["tokens"][0]["piece"], "a");
  EXPECT_EQ(post("/detokenize", {{"tokens", {97, 98}}}).json()["content"], "ab");
  EXPECT_EQ(post("/detokenize", {{"tokens", {"a"}}}).status, 400);
  EXPECT_EQ(post("/detokenize", Json::object()).status, 400);
  const Json prompt = post("/apply-template", {{"messages", user("hi")}}).json()["prompt"];
  EXPECT_TRUE(prompt.get<std::string>().starts_with("<bos><|turn>user\nhi<turn|>"));
  EXPECT_NE(get("/").body.find("running"), std::string::npos);
}

TEST_F(Apis, MetricsAreCounted) {
  start();
  model_->play({rich(), FinishReason::kStop});
  post("/v1/chat/completions", {{"messages", user("hi")}});
  post("/v1/messages", {{"messages", user("hi")}});
  const auto lines = {"tessera_requests_total{route=\"chat_completions\",status=\"200\"} 1\n",
                      "tessera_requests_total{route=\"messages\",status=\"400\"} 1\n",
                      "tessera_prompt_tokens_total 12\n",
                      "tessera_cached_tokens_total 4\n",
                      "tessera_completion_tokens_total 4\n",
                      "tessera_first_token_seconds_count 1\n",
                      "tessera_connections 1\n"};
  Answer answer;
  const auto has = [&](const char* line) { return answer.body.find(line) != std::string::npos; };
  wait_for([&] {
    answer = get("/metrics");
    return std::all_of(lines.begin(), lines.end(), has);
  });
  EXPECT_TRUE(answer.has("Content-Type: text/plain; version=0.0.4"));
  for (const char* line : lines) EXPECT_TRUE(has(line)) << line << answer.body;
}

}  // namespace
}  // namespace tessera::server
