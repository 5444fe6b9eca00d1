// The official clients of three APIs, run by node. Skipped only where they cannot be fetched.
#include <sys/wait.h>

#include <cstdio>

#include "client.h"

namespace tessera::server {
namespace {

const std::string kFolder = std::string(TESSERA_SOURCE_DIR) + "/tests/server/clients";

struct Finished {
  int exit_code = -1;
  std::string output;
};

Finished run(const std::string& command) {
  Finished done;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return done;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) done.output.append(buffer, n);
  const int status = ::pclose(pipe);
  done.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return done;
}

class Clients : public ScriptedServer {
 protected:
  void SetUp() override {
    ScriptedServer::SetUp();
    const Finished fetched = run(kFolder + "/fetch_clients.sh 2>/dev/null");
    if (fetched.exit_code != 0) GTEST_SKIP() << "the clients could not be fetched (npm, node, registry)";
    packages_ = fetched.output.substr(0, fetched.output.find('\n'));
    options_.access.api_keys = {"key"};
  }
  void expect_clients_pass(const std::string& mode) {
    const Finished tests =
        run("node " + kFolder + "/clients.mjs " + mode + " " + "http://127.0.0.1:" + std::to_string(port()) +
            " " + packages_ + " " + TESSERA_SOURCE_DIR + "/examples");
    EXPECT_EQ(tests.exit_code, 0) << tests.output;
  }
  std::string packages_;
};

TEST_F(Clients, Scripted) {
  start();
  model_->play_by([](const Prompt& prompt) -> Script {
    if (prompt.rendered.find("declaration:") != std::string::npos &&
        prompt.rendered.find("response:") == std::string::npos) {
      return {{call_event("weather", R"({"city":"Paris"})")}, FinishReason::kToolCall};
    }
    if (!prompt.media.empty() && prompt.media[0].kind() == MediaKind::kImage)
      return {{text_event(R"({"city":"Paris"})")}};
    return {{prefill_event(1, 1), thought_event("hm"), text_event("Hello"), text_event(" there")}};
  });
  expect_clients_pass("scripted");
}

TEST_F(Clients, Mini) {
  options_.http.port = 0;
  log_ = std::make_unique<Log>(LogLevel::kError, false, "");
  server_ = std::make_unique<Server>(options_, *log_);
  EngineOptions engine;
  engine.backend = "cpu";
  engine.parallel = 2;
  engine.context_tokens = 1024;
  server_->set_model(
      make_engine_model(Engine::load(std::string(TESSERA_SOURCE_DIR) + "/models/mini", engine)));
  expect_clients_pass("mini");
}

}  // namespace
}  // namespace tessera::server
