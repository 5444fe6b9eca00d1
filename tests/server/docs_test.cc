// The examples of docs/API.md, as they stand there.
#include <sys/wait.h>

#include <fstream>
#include <sstream>

#include "client.h"

namespace tessera::server {
namespace {

class Docs : public ScriptedServer {};

TEST_F(Docs, EveryExampleWorks) {
  start();
  model_->play({{prefill_event(1, 1), text_event("words")}});
  std::ifstream in(std::string(TESSERA_SOURCE_DIR) + "/docs/API.md");
  ASSERT_TRUE(in.good());
  std::stringstream all;
  all << in.rdbuf();
  const std::string text = all.str(), local = "localhost:8080";
  int examples = 0;
  for (size_t at = 0; (at = text.find("```sh\n", at)) != std::string::npos;) {
    const size_t end = text.find("```", at + 6);
    std::string command = text.substr(at + 6, end - at - 6);
    at = end + 3;
    for (size_t k; (k = command.find(local)) != std::string::npos;) {
      command.replace(k, local.size(), "127.0.0.1:" + std::to_string(port()));
    }
    for (size_t k = 0; (k = command.find("curl ", k)) != std::string::npos; k += 5)
      command.insert(k + 5, "-sSf ");
    const std::string script = "cd '" + std::string(TESSERA_SOURCE_DIR) + "' && " + command;
    const int status = std::system(("( " + script + " ) >/dev/null").c_str());
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command;
    ++examples;
  }
  EXPECT_GE(examples, 15);
  for (const char* path : {"/v1/chat/completions",
                           "/v1/completions",
                           "/v1/responses",
                           "/v1/messages",
                           "/v1/messages/count_tokens",
                           "/v1/audio/transcriptions",
                           "/v1/audio/translations",
                           "/v1/models",
                           "/api/chat",
                           "/api/generate",
                           "/api/tags",
                           "/api/show",
                           "/api/version",
                           "/tokenize",
                           "/detokenize",
                           "/apply-template",
                           "/health",
                           "/props",
                           "/slots",
                           "/metrics",
                           "/logs"}) {
    EXPECT_NE(text.find(local + path), std::string::npos) << path << " has no example";
  }
}

}  // namespace
}  // namespace tessera::server
