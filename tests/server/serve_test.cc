// The program itself: options from three places, the model over a socket, signals.
#include "program.h"

namespace tessera::server {
namespace {

TEST(Serve, AnswersAndStopsOnSigterm) {
  Program program(kTiny + " --port 0 --threads 1 --no-pack --alias tiny-one --parallel 2 -c 256");
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  EXPECT_EQ(ask(program.port(), "GET", "/v1/models").json()["data"][0]["id"], "tiny-one");
  const Json body = {
      {"messages", Json::array({{{"role", "user"}, {"content", "a"}}})}, {"max_tokens", 4}, {"seed", 1}};
  const Answer one = ask(program.port(), "POST", "/v1/chat/completions", dump(body));
  ASSERT_EQ(one.status, 200) << one.body;
  EXPECT_LE(one.json()["usage"]["completion_tokens"].get<int>(), 4);
  const Answer two = ask(program.port(), "POST", "/v1/chat/completions", dump(body));
  EXPECT_EQ(one.json()["choices"], two.json()["choices"]) << "equal seeds, equal answers";
  EXPECT_EQ(ask(program.port(), "GET", "/slots").json().size(), 2U);
  EXPECT_EQ(program.log().find("\"content\""), std::string::npos) << "no prompts in the log";
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.log().find(" stopped"), std::string::npos);
}

TEST(Serve, OptionsFromCommandLineEnvironmentAndFileInThatOrder) {
  const TempDir dir;
  const std::string file = dir.write("serve.toml",
                                     "alias = \"file\"\nmax_queue = 3\napi-key = [\"k1\", \"k2\"]\nthreads = "
                                     "1\nno-pack = true\nctx = 256\nport = 0\n");
  Program program(kTiny + " --config " + file + " --parallel 1",
                  "TESSERA_ALIAS=environment TESSERA_PARALLEL=7");
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  EXPECT_EQ(ask(program.port(), "GET", "/v1/models").status, 401);
  const Json models = ask(program.port(), "GET", "/v1/models", {}, "Authorization: Bearer k2\r\n").json();
  EXPECT_EQ(models["data"][0]["id"], "environment");
  const Json props = ask(program.port(), "GET", "/props", {}, "Authorization: Bearer k1\r\n").json();
  EXPECT_EQ(props["total_slots"], 1);
  EXPECT_EQ(props["default_generation_settings"]["n_ctx"], 256);
}

TEST(Serve, BadOptionsSayWhere) {
  const TempDir dir;
  const auto output = [&](const std::string& text) {
    Program program(kTiny + " --config " + dir.write("serve.toml", text));
    EXPECT_NE(program.wait(), 0) << text;
    return program.output();
  };
  EXPECT_NE(output("\n\nnothing = 1\n").find("serve.toml:3: nothing: there is no such option"),
            std::string::npos);
  EXPECT_NE(output("port = \n").find("serve.toml:1"), std::string::npos);
  EXPECT_NE(output("port = \"many\"\n").find("serve.toml:1: port"), std::string::npos);
  EXPECT_NE(output("tls-cert = \"x.pem\"\nport = 0\n").find("--tls-key"), std::string::npos);
}

TEST(Serve, AModelThatCannotBeLoadedEndsTheProgram) {
  Program program("no/such/model --port 0");
  EXPECT_EQ(program.wait(), 1);
  EXPECT_NE(program.output().find("no/such/model"), std::string::npos) << program.output();
}

}  // namespace
}  // namespace tessera::server
