// n > 1: the answers to one prompt are written at once and share its computation.
#include "program.h"

namespace tessera::server {
namespace {

class Choices : public ScriptedServer {
 protected:
  static Script words(int count, int ms) {
    Script script;
    for (int i = 0; i < count; ++i) script.events.push_back(text_event("w" + std::to_string(i) + " "));
    script.ms_between = ms;
    return script;
  }
  Json asking_for(int n, bool stream) { return {{"messages", user("hi")}, {"n", n}, {"stream", stream}}; }
};

TEST_F(Choices, AreWrittenAtOnce) {
  start();
  model_->play(words(200, 5));
  Socket socket(port());
  socket.send(request_text("POST", "/v1/chat/completions", dump(asking_for(4, false))));
  wait_for([&] { return model_->running == 4; });
  const Json answer = parse_answer(socket.receive_all()).json();
  ASSERT_EQ(answer["choices"].size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(answer["choices"][i]["index"], i);
    EXPECT_EQ(answer["choices"][i]["message"]["content"], answer["choices"][0]["message"]["content"]);
  }
}

TEST_F(Choices, StreamsAreToldApartByTheirIndex) {
  start();
  model_->play(words(20, 3));
  const Answer answer = post("/v1/chat/completions", asking_for(3, true));
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
  std::string texts[3];
  int roles[3] = {}, ends[3] = {}, changes = 0, last = -1;
  for (const Json& event : answer.events()) {
    for (const Json& choice : event["choices"]) {
      const int i = choice["index"].get<int>();
      ASSERT_TRUE(i >= 0 && i < 3);
      if (choice["delta"].contains("role")) ++roles[i];
      if (choice["delta"].contains("content") && choice["delta"]["content"].is_string())
        texts[i] += choice["delta"]["content"].get<std::string>();
      if (!choice["finish_reason"].is_null()) ++ends[i];
      changes += std::exchange(last, i) != i ? 1 : 0;
    }
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(roles[i], 1);
    EXPECT_EQ(ends[i], 1);
    EXPECT_EQ(texts[i], texts[0]);
    EXPECT_NE(texts[i].find("w19"), std::string::npos);
  }
  EXPECT_GT(changes, 6) << "one after the other";
}

TEST_F(Choices, LeavingCancelsAllOfThem) {
  start();
  model_->play(words(10'000, 5));
  Socket socket(port());
  socket.send(request_text("POST", "/v1/chat/completions", dump(asking_for(4, true))));
  wait_for([&] { return model_->running == 4; });
  socket.reset();
  wait_for([&] { return model_->running == 0; });
  expect_alive();
}

TEST_F(Choices, ShutdownCancelsAllOfThem) {
  start();
  model_->play(words(10'000, 5));
  Socket socket(port());
  socket.send(request_text("POST", "/v1/chat/completions", dump(asking_for(4, true))));
  wait_for([&] { return model_->running == 4; });
  server_->shutdown(0);
  EXPECT_EQ(model_->running, 0);
  const auto events = parse_answer(socket.receive_all()).events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back()["error"]["code"], 503);
}

TEST_F(Choices, OneThatFailsFailsTheRequest) {
  start();
  std::atomic<int> begun{0};
  Script script = words(1000, 3);
  script.before = [&] {
    if (++begun == 3) throw Error(ErrorKind::kBadRequest, "the third cannot");
  };
  model_->play(script);
  const Answer answer = post("/v1/chat/completions", asking_for(4, false));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["message"], "the third cannot");
  EXPECT_EQ(model_->running, 0);
  script = words(1000, 3);
  script.before = [] { throw Error(ErrorKind::kBadRequest, "none can"); };
  model_->play(script);
  EXPECT_EQ(post("/v1/chat/completions", asking_for(4, false)).status, 400);
  expect_alive();
}

TEST_F(Choices, EachTakesAPlace) {
  options_.parallel = 2;
  options_.max_queue = 2;
  start();
  model_->play(words(1000, 5));
  Socket socket(port());
  socket.send(request_text("POST", "/v1/chat/completions", dump(asking_for(3, false))));
  wait_for([&] { return model_->running == 3; });
  EXPECT_EQ(post("/v1/chat/completions", asking_for(2, false)).status, 503);
  EXPECT_EQ(post("/v1/chat/completions", asking_for(5, false)).status, 400) << "never possible here";
  socket.reset();
  wait_for([&] { return model_->running == 0; });
  expect_alive();
}

// Through the engine: what each would be alone, and the prompt computed once.
TEST(ChoicesOfTheEngine, AreThoseOfTheirSeedsAndShareThePrompt) {
  Program program(kTiny + " --port 0 --threads 1 --no-pack --parallel 4 -c 640");
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  Json body = {{"messages", Json::array({{{"role", "user"}, {"content", words}}})},
               {"max_tokens", 12},
               {"ignore_eos", true},
               {"seed", 40},
               {"n", 4}};
  const Json together = ask(program.port(), "POST", "/v1/chat/completions", dump(body)).json();
  ASSERT_EQ(together["choices"].size(), 4U) << dump(together);
  const std::string metrics = ask(program.port(), "GET", "/metrics").body;
  const auto metric = [&](const std::string& name) {
    const size_t at = metrics.find("\n" + name + " ");
    return at == std::string::npos ? -1.0 : std::atof(metrics.c_str() + at + name.size() + 2);
  };
  const double prompt = together["usage"]["prompt_tokens"].get<double>();
  EXPECT_EQ(metric("tessera_prompt_tokens_total"), 4 * prompt);
  EXPECT_GE(metric("tessera_cached_tokens_total"), 3 * (prompt - 16));
  body["n"] = 1;
  for (int i = 0; i < 4; ++i) {
    body["seed"] = 40 + i;
    const Json alone = ask(program.port(), "POST", "/v1/chat/completions", dump(body)).json();
    EXPECT_EQ(alone["choices"][0]["message"], together["choices"][static_cast<size_t>(i)]["message"]) << i;
  }
}

}  // namespace
}  // namespace tessera::server
