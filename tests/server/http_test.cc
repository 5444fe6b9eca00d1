// The HTTP layer under hostile and unlucky clients. After each the server still answers.
#include <fmt/format.h>

#include "client.h"

namespace tessera::server {
namespace {

class Http : public ScriptedServer {
 protected:
  Answer raw(const std::string& bytes) {
    Socket socket(port());
    socket.send(bytes);
    return parse_answer(socket.receive_all(5000));
  }
  static std::string chat(bool stream = true) {
    return request_text("POST", "/v1/chat/completions", dump({{"messages", user("hi")}, {"stream", stream}}));
  }
  Script slow(int events, int ms) {
    Script script;
    for (int i = 0; i < events; ++i) script.events.push_back(text_event("word "));
    script.ms_between = ms;
    return script;
  }
};

TEST_F(Http, MalformedRequestsAreRefusedOrClosed) {
  start();
  const std::string ok = "Host: localhost\r\n\r\n";
  EXPECT_EQ(raw("GARBAGE\r\n\r\n").status, 400);
  EXPECT_EQ(raw("GET / HTTP/9.9\r\n" + ok).status, 400);
  EXPECT_EQ(raw("GET /\r\n" + ok).status, 400);
  EXPECT_EQ(raw("GET / HTTP/1.1\r\nBad Header\r\n" + ok).status, 400);
  EXPECT_EQ(raw("POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n" + ok).status, 400);
  EXPECT_EQ(raw("POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" + ok).status,
            400);
  EXPECT_EQ(raw("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + ok + "zz\r\n").status,
            400);
  EXPECT_EQ(raw(std::string("GET /\0 HTTP/1.1\r\n", 17) + ok).status, 400);
  expect_alive();
}

TEST_F(Http, LimitsOfHeadAndBody) {
  options_.http.max_body_bytes = 1000;
  options_.http.max_header_bytes = 4096;
  start();
  EXPECT_EQ(get("/health", "X-Long: " + std::string(5000, 'a') + "\r\n").status, 431);
  EXPECT_EQ(post("/v1/completions", std::string(1001, ' ')).status, 413);
  EXPECT_EQ(
      raw("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
          std::string(2000, ' ') + "\r\n0\r\n\r\n")
          .status,
      413);
  expect_alive();
}

TEST_F(Http, UnknownPathsAndMethods) {
  start();
  EXPECT_EQ(get("/etc/passwd").status, 404);
  EXPECT_EQ(get("/../../etc/passwd").status, 404);
  EXPECT_EQ(get("/%2e%2e/%2e%2e/etc/passwd").status, 404);
  EXPECT_EQ(get("/v1/chat/completions").status, 405);
  EXPECT_EQ(ask(port(), "DELETE", "/health").status, 405);
  EXPECT_TRUE(get("/v1/messages/nothing").json().contains("type")) << "in Anthropic's shape";
  EXPECT_TRUE(get("/api/nothing").json()["error"].is_string()) << "in Ollama's shape";
}

TEST_F(Http, OneConnectionServesManyRequestsAlsoSentAhead) {
  start();
  model_->play({{text_event("x")}});
  Socket socket(port());
  const std::string one = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  socket.send(one + one + last);
  const std::string all = socket.receive_all(5000);
  size_t answers = 0;
  for (size_t at = 0; (at = all.find("HTTP/1.1 200 OK", at)) != std::string::npos; ++at) ++answers;
  EXPECT_EQ(answers, 3U) << all;
}

// Sent while the first is being answered, and at the moment its answer ends.
TEST_F(Http, RequestsSentAheadOfTheAnswerAreNotForgotten) {
  start();
  model_->play(slow(5, 20));
  Socket socket(port());
  const std::string body = dump({{"messages", user("hi")}});
  const std::string one =
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                  body.size(), body);
  socket.send(one);
  wait_for([&] { return model_->running == 1; });
  socket.send(one);
  // Whether so many answers came.
  const auto answered = [&](size_t wanted) {
    std::string all;
    for (;;) {
      size_t found = 0;
      const std::string part = socket.receive(65536, 5000);
      if (part.empty()) return false;
      all += part;
      for (size_t at = 0; (at = all.find("\"usage\"", at)) != std::string::npos; ++at) ++found;
      if (found == wanted && all.ends_with("}")) return true;
    }
  };
  EXPECT_TRUE(answered(2));
  // The next as soon as the last byte is here: the server may not have noticed yet that it has sent it.
  model_->play({{text_event("x")}});
  for (int i = 0; i < 300; ++i) {
    socket.send(one);
    ASSERT_TRUE(answered(1)) << i;
  }
}

TEST_F(Http, BodiesInPiecesChunksAndAfterContinue) {
  start();
  model_->play({{text_event("x")}});
  const std::string body = dump({{"messages", user("hi")}});
  {
    Socket socket(port());
    const std::string text = request_text("POST", "/v1/chat/completions", body);
    for (const char c : text) socket.send(std::string_view(&c, 1));
    EXPECT_EQ(parse_answer(socket.receive_all()).status, 200);
  }
  {
    Socket socket(port());
    socket.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1\r\n{\r\n");
    socket.send(fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", body.size() - 1, body.substr(1)));
    EXPECT_EQ(parse_answer(socket.receive_all()).status, 200);
  }
  {
    Socket socket(port());
    socket.send(
        fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: "
                    "100-continue\r\nContent-Length: {}\r\n\r\n",
                    body.size()));
    EXPECT_EQ(socket.receive(), "HTTP/1.1 100 Continue\r\n\r\n");
    socket.send(body);
    EXPECT_EQ(parse_answer(socket.receive_all()).status, 200);
  }
}

TEST_F(Http, OldClientsAndHead) {
  start();
  model_->play({{text_event("x")}});
  const std::string body = dump({{"messages", user("hi")}, {"stream", true}});
  const Answer old = raw(
      fmt::format("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  EXPECT_EQ(old.status, 200);
  EXPECT_FALSE(old.has("chunked"));
  EXPECT_TRUE(old.body.ends_with("data: [DONE]\n\n"));
  const Answer head = ask(port(), "HEAD", "/health");
  EXPECT_EQ(head.status, 200);
  EXPECT_TRUE(head.body.empty());
}

TEST_F(Http, ClosingCancelsTheWork) {
  start();
  model_->play(slow(1000, 10));
  for (const bool reset : {false, true}) {
    for (const bool stream : {false, true}) {
      const int before = model_->cancelled;
      Socket socket(port());
      socket.send(chat(stream));
      wait_for([&] { return model_->running == 1; });
      reset ? socket.reset() : socket.close();
      wait_for([&] { return model_->running == 0; });
      EXPECT_EQ(model_->cancelled, before + 1);
    }
  }
  expect_alive();
}

TEST_F(Http, ClientsThatLeaveAtAnyByteOfAnAnswer) {
  start();
  model_->play({{prefill_event(1, 1), text_event("some"), text_event("words"), call_event("f", "{}")}});
  const size_t length = [&] {
    Socket socket(port());
    socket.send(chat());
    return socket.receive_all().size();
  }();
  ASSERT_GT(length, 500U);
  for (size_t at = 0; at <= length; ++at) {
    Socket socket(port());
    socket.send(chat());
    for (size_t got = 0; got < at;) {
      const std::string part = socket.receive(at - got);
      if (part.empty()) break;
      got += part.size();
    }
    socket.reset();
  }
  wait_for([&] { return model_->running == 0; });
  expect_alive();
}

TEST_F(Http, ClientsThatLeaveAtAnyByteOfARequest) {
  start();
  model_->play({{text_event("x")}});
  const std::string text = chat();
  for (size_t at = 0; at < text.size(); ++at) {
    Socket socket(port());
    socket.send(text.substr(0, at));
    at % 2 == 0 ? socket.reset() : socket.close();
  }
  wait_for([&] { return model_->running == 0; });
  expect_alive();
}

TEST_F(Http, AClientThatDoesNotReadHoldsUpOnlyItself) {
  options_.http.write_timeout_ms = 300;
  start();
  Script flood;
  flood.events.assign(4000, text_event(std::string(16 << 10, 'x')));
  model_->play(flood);
  Socket lazy(port());
  lazy.send(chat());
  wait_for([&] { return model_->running == 1; });
  expect_alive();
  wait_for([&] { return model_->running == 0; });
  EXPECT_EQ(model_->cancelled, 1) << "the write time-out closes it, and that cancels";
}

TEST_F(Http, SlowHeadsAndBodiesAreCutOff) {
  options_.http.header_timeout_ms = 200;
  options_.http.body_timeout_ms = 200;
  options_.http.max_body_bytes = 1 << 10;
  start();
  Socket head(port()), body(port());
  head.send("GET /health HT");
  body.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_EQ(head.receive(100, 5000), "");
  EXPECT_EQ(body.receive(100, 5000), "");
  expect_alive();
}

TEST_F(Http, DrippingDoesNotBuyTime) {
  options_.http.header_timeout_ms = options_.http.idle_timeout_ms = 300;
  start();
  Socket head(port());
  const std::string text = "GET /health HTTP/1.1\r\nX-Long: " + std::string(1000, 'a');
  size_t sent = 0;
  for (; sent < text.size() && head.send(text.substr(sent, 1)); ++sent) {
    if (!head.receive(1, 10).empty()) break;
  }
  EXPECT_LT(sent, 500U) << "a byte now and then keeps no connection";
  expect_alive();
}

TEST_F(Http, IdleConnectionsMakeRoom) {
  options_.http.max_connections = 50;
  start();
  std::vector<std::unique_ptr<Socket>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(std::make_unique<Socket>(port()));
  expect_alive();
  EXPECT_EQ(idle.front()->receive(1, 2000), "") << "the idlest is closed";
}

TEST_F(Http, KeepAliveCommentsWhileNothingIsSaid) {
  options_.http.keep_alive_ms = 50;
  start();
  Script script{{text_event("x")}};
  script.before = [] { std::this_thread::sleep_for(std::chrono::milliseconds(400)); };
  model_->play(script);
  const Answer answer = post("/v1/chat/completions", {{"messages", user("hi")}, {"stream", true}});
  EXPECT_TRUE(answer.body.starts_with(": keep-alive\n\n")) << answer.body;
  EXPECT_EQ(answer.events().size(), 3U);
  const Answer anthropic =
      post("/v1/messages", {{"messages", user("hi")}, {"max_tokens", 5}, {"stream", true}});
  EXPECT_TRUE(anthropic.body.starts_with("event: ping\n"));
}

TEST_F(Http, AnErrorInAStreamIsToldInIt) {
  options_.http.keep_alive_ms = 20;
  start();
  Script script{{text_event("x")}};
  script.before = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    throw Error(ErrorKind::kDevice, "the card is gone");
  };
  model_->play(script);
  const Answer answer = post("/v1/chat/completions", {{"messages", user("hi")}, {"stream", true}});
  EXPECT_EQ(answer.status, 200);
  ASSERT_EQ(answer.events().size(), 1U);
  EXPECT_EQ(answer.events()[0]["error"]["code"], 500);
  EXPECT_EQ(answer.events()[0]["error"]["message"], "the card is gone");
}

TEST_F(Http, AFullQueueIsA503WithRetryAfter) {
  options_.parallel = 1;
  options_.max_queue = 1;
  start();
  model_->play(slow(50, 20));
  Socket a(port()), b(port());
  a.send(chat());
  b.send(chat());
  wait_for([&] { return model_->running == 2; });
  const Answer refused = post("/v1/chat/completions", {{"messages", user("hi")}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.has("Retry-After: "));
  EXPECT_EQ(get("/health").status, 200) << "what does not generate has threads of its own";
  a.reset();
  b.reset();
}

TEST_F(Http, LoadingIsA503) {
  options_.http.port = 0;
  log_ = std::make_unique<Log>(LogLevel::kError, false, "");
  server_ = std::make_unique<Server>(options_, *log_);
  const Answer health = get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.json()["error"]["message"], "Loading model");
  EXPECT_EQ(health.json()["error"]["type"], "unavailable_error");
  server_->set_model(model_);
  EXPECT_EQ(get("/health").json(), (Json{{"status", "ok"}}));
}

TEST_F(Http, ShutdownLetsRunningAnswersEnd) {
  start();
  model_->play(slow(20, 10));
  Socket socket(port());
  socket.send(chat());
  wait_for([&] { return model_->running == 1; });
  server_->shutdown(10'000);
  const Answer answer = parse_answer(socket.receive_all());
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
}

TEST_F(Http, ShutdownTellsTheStreamsItCuts) {
  start();
  model_->play(slow(10'000, 10));
  Socket socket(port());
  socket.send(chat());
  wait_for([&] { return model_->running == 1; });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server_->shutdown(0);
  const auto events = parse_answer(socket.receive_all()).events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back()["error"]["code"], 503);
}

TEST_F(Http, JsonBombs) {
  start();
  const auto status = [&](const std::string& body) { return post("/v1/chat/completions", body).status; };
  EXPECT_EQ(status(std::string(200'000, '[')), 400);
  EXPECT_EQ(status(std::string(100'000, '[') + std::string(100'000, ']')), 400);
  std::string keys = "{";
  for (int i = 0; i < 5000; ++i) keys += "\"k" + std::to_string(i) + "\":1,";
  EXPECT_EQ(status(keys + "\"z\":1}"), 400);
  std::string values = "[";
  for (int i = 0; i < 1'100'000; ++i) values += "1,";
  EXPECT_EQ(status(values + "1]"), 400);
  EXPECT_EQ(status("{\"messages\":\"\xff\xfe\"}"), 400);
  EXPECT_EQ(status("{\"messages\":1e999}"), 400);
  EXPECT_EQ(status("nul"), 400);
  EXPECT_EQ(status(" "), 400);
  std::string deep =
      R"({"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":)";
  for (int i = 0; i < 70; ++i) deep += "{\"a\":";
  deep += "1" + std::string(70, '}') + "}}]}";
  EXPECT_EQ(status(deep), 400);
  expect_alive();
}

}  // namespace
}  // namespace tessera::server
