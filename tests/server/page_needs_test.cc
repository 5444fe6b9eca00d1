// What the chat page asks for beyond the APIs' common part.
#include <fstream>

#include "base/base64.h"
#include "client.h"

namespace tessera::server {
namespace {

class PageNeeds : public ScriptedServer {
 protected:
  static Json conversation(const std::string& reply) {
    return Json::array(
        {{{"role", "user"}, {"content", "Count."}}, {{"role", "assistant"}, {"content", reply}}});
  }
  std::string prompt_for(const std::string& path, Json body) {
    const Answer answer = post(path, body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return model_->prompt().rendered;
  }
};

constexpr const char* kOpen = "<|turn>model\n<|channel>thought\n<channel|>one, ";

TEST_F(PageNeeds, AReplyGoesOnFromItsLastCharacter) {
  start();
  model_->play({{text_event("two")}});
  Json body = {{"messages", conversation("one, ")}, {"max_tokens", 5}};
  EXPECT_FALSE(prompt_for("/v1/chat/completions", body).ends_with("one, ")) << "only where it is asked for";
  body["continue_final_message"] = true;
  body["add_generation_prompt"] = false;
  const std::string prompt = prompt_for("/v1/chat/completions", body);
  EXPECT_TRUE(prompt.ends_with(kOpen)) << prompt;
  EXPECT_EQ(post("/apply-template", body).json()["prompt"], prompt);
  EXPECT_EQ(post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"], "two");
  body["add_generation_prompt"] = true;
  EXPECT_EQ(post("/v1/chat/completions", body).status, 400);
  body.erase("add_generation_prompt");
  body["response_format"] = {{"type", "json_object"}};
  EXPECT_EQ(post("/v1/chat/completions", body).status, 400);
  body.erase("response_format");
  body["messages"] = user("hi");
  const Answer refused = post("/v1/chat/completions", body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("expected the assistant's"), std::string::npos) << refused.body;
}

TEST_F(PageNeeds, AnthropicAndOllamaGoOnWhereTheConversationEndsWithTheAssistant) {
  start();
  model_->play({{text_event("two")}});
  const Json body = {{"messages", conversation("one, ")}, {"max_tokens", 5}};
  const std::string prompt = prompt_for("/v1/messages", body);
  EXPECT_TRUE(prompt.ends_with(kOpen)) << prompt;
  EXPECT_EQ(prompt_for("/api/chat", body), prompt);
  const Json blocks = {
      {"max_tokens", 5},
      {"messages", Json::array({{{"role", "user"}, {"content", "Count."}},
                                {{"role", "assistant"},
                                 {"content", Json::array({{{"type", "text"}, {"text", "one, "}}})}}})}};
  EXPECT_EQ(prompt_for("/v1/messages", blocks), prompt);
  Json strict = body;
  strict["format"] = "json";
  EXPECT_EQ(post("/api/chat", strict).status, 400);
  EXPECT_EQ(
      post("/v1/messages",
           {{"max_tokens", 5}, {"messages", Json::array({{{"role", "user"}, {"content", Json::array()}}})}})
          .status,
      200)
      << "no messages at all";
}

TEST_F(PageNeeds, TimingsInEveryChunkThatHasTokens) {
  start();
  Event first = text_event("a"), second = text_event("b");
  first.usage.prompt_tokens = second.usage.prompt_tokens = 12;
  first.usage.completion_tokens = 1;
  second.usage.completion_tokens = 5;
  second.usage.generate_ms = 100;
  second.usage.drafted_tokens = 6;
  second.usage.accepted_tokens = 3;
  model_->play({{prefill_event(4, 8), first, second}});
  Json body = {{"messages", user("hi")}, {"stream", true}, {"timings_per_token", true}};
  auto events = post("/v1/chat/completions", body).events();
  ASSERT_EQ(events.size(), 4U);
  EXPECT_FALSE(events[0].contains("timings"));
  EXPECT_EQ(events[1]["timings"]["predicted_n"], 1);
  EXPECT_FALSE(events[1]["timings"].contains("draft_n"));
  EXPECT_EQ(events[2]["timings"]["predicted_n"], 5);
  EXPECT_EQ(events[2]["timings"]["predicted_per_second"], 40);
  EXPECT_EQ(events[2]["timings"]["draft_n"], 6);
  EXPECT_EQ(events[2]["timings"]["draft_n_accepted"], 3);
  body.erase("timings_per_token");
  events = post("/v1/chat/completions", body).events();
  EXPECT_FALSE(events[2].contains("timings"));
  EXPECT_TRUE(events[3].contains("timings"));
}

TEST_F(PageNeeds, WhichTokensTheDrafterHad) {
  Event event = text_event("ab");
  event.logprobs = {{{97, -0.5F, "a"}, {}, true, false}, {{98, -0.25F, "b"}, {}, true, true}};
  const Json body = {{"messages", user("hi")}, {"stream", true}, {"logprobs", true}};
  start();
  model_->play({{event}});
  const auto tokens = [&] {
    return post("/v1/chat/completions", body).events().at(1)["choices"][0]["logprobs"]["content"];
  };
  EXPECT_FALSE(tokens()[0].contains("draft")) << "a model without a drafter";
  model_->with_drafter();
  EXPECT_EQ(tokens()[0]["draft"], false);
  EXPECT_EQ(tokens()[1]["draft"], true);
}

TEST_F(PageNeeds, ThePropsSayWhatAPageWantsToKnow) {
  options_.http.max_body_bytes = 5 << 20;
  start();
  const Json props = get("/props").json();
  EXPECT_EQ(props["max_body_bytes"], 5 << 20);
  EXPECT_EQ(props["kv_bytes"], 1 << 20);
  EXPECT_EQ(props["format"], "safetensors, 1 file");
  EXPECT_TRUE(props["weight_bytes"].is_number());
  EXPECT_EQ(props["drafter"], "none");
  EXPECT_EQ(get("/slots").json()[1]["n_past"], 20);
  const std::string metrics = get("/metrics").body;
  const size_t at = metrics.find("\ntessera_resident_bytes ");
  ASSERT_NE(at, std::string::npos) << metrics;
  EXPECT_GT(std::stod(metrics.substr(at + 24)), 1e6);
}

TEST_F(PageNeeds, TheLogsEndWithoutPrompts) {
  options_.access.api_keys = {"k"};
  options_.log_prompts = true;
  options_.http.port = 0;
  log_ = std::make_unique<Log>(LogLevel::kInfo, false, "/dev/null");
  server_ = std::make_unique<Server>(options_, *log_);
  server_->set_model(model_);
  model_->play({{text_event("SECRET-ANSWER")}});
  const std::string key = "Authorization: Bearer k\r\n";
  ASSERT_EQ(post("/v1/chat/completions", {{"messages", user("SECRET-QUESTION")}}, key).status, 200);
  EXPECT_EQ(get("/logs").status, 401);
  wait_for([&] { return get("/logs", key).body.find("chat/completions status=200") != std::string::npos; });
  const Answer logs = get("/logs", key);
  EXPECT_EQ(logs.status, 200);
  EXPECT_TRUE(logs.has("Content-Type: text/plain"));
  EXPECT_NE(logs.body.find("path=/v1/chat/completions status=200"), std::string::npos) << logs.body;
  EXPECT_EQ(logs.body.find("SECRET"), std::string::npos) << logs.body;
  for (int i = 0; i < 1000; ++i) log_->write(LogLevel::kInfo, "line", {{"n", i}});
  const std::string end = get("/logs", key).body;
  EXPECT_EQ(static_cast<size_t>(std::count(end.begin(), end.end(), '\n')), Log::kRecentLines);
  EXPECT_NE(end.find("n=999"), std::string::npos);
  EXPECT_EQ(end.find("n=599 "), std::string::npos);
}

TEST_F(PageNeeds, AFilmMayBringItsSound) {
  start();
  model_->play({{text_event("x")}});
  const auto film = [](const char* name) {
    std::ifstream in(std::string(TESSERA_SOURCE_DIR) + "/tests/fixtures/media/" + name, std::ios::binary);
    EXPECT_TRUE(in.good()) << name;
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
    return Json{{"url", "data:video/mp4;base64," + base64_encode(bytes)}};
  };
  const auto body = [&](const char* name, bool sound) {
    return Json{
        {"messages",
         Json::array(
             {{{"role", "user"},
               {"content", Json::array({{{"type", "video_url"}, {"video_url", film(name)}, {"sound", sound}},
                                        {{"type", "text"}, {"text", "What is it?"}}})}}})}};
  };
  EXPECT_NE(
      prompt_for("/v1/chat/completions", body("with_sound.mp4", false)).find("<|video|>What is it?<turn|>"),
      std::string::npos);
  EXPECT_NE(prompt_for("/v1/chat/completions", body("with_sound.mp4", true))
                .find("<|video|>What is it?<|audio|><turn|>"),
            std::string::npos);
  ASSERT_EQ(model_->prompt().media.size(), 2U);
  EXPECT_EQ(model_->prompt().media[1].kind(), MediaKind::kAudio);
  EXPECT_NEAR(model_->prompt().media[1].soft_tokens(), 50, 2) << "2 s of 40 ms, and what AAC pads";
  const Answer silent = post("/v1/chat/completions", body("five_frames.mp4", true));
  EXPECT_EQ(silent.status, 400);
  EXPECT_NE(silent.body.find("messages[0].content[0]"), std::string::npos) << silent.body;
}

}  // namespace
}  // namespace tessera::server
