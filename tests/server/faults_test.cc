// What can go wrong around a server that runs: kills, full disks, crowds, requests built to break it. After
// each it answers.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "base/base64.h"
#include "program.h"

namespace tessera::server {
namespace {

namespace fs = std::filesystem;

const std::string kOptions = kTiny + " --port 0 --threads 1 --no-pack -c 640 ";

Json chat(const std::string& text, int tokens = 8) {
  return {{"messages", Json::array({{{"role", "user"}, {"content", text}}})},
          {"max_tokens", tokens},
          {"temperature", 0},
          {"ignore_eos", true}};
}

Answer post(const Program& program, const Json& body) {
  return ask(program.port(), "POST", "/v1/chat/completions", dump(body));
}

std::string text_of(const Answer& answer) {
  const Json json = answer.json();
  return answer.status == 200 ? dump(json["choices"][0]["message"]["content"]) : "status " + answer.body;
}

double metric(const Program& program, const std::string& name) {
  const std::string text = ask(program.port(), "GET", "/metrics").body;
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::atof(text.c_str() + at + name.size() + 2);
}

const std::string kLong =
    "The long beginning that several conversations have in common, so that it is worth keeping. ";

// Killed at any moment of writing, the folder holds what is whole and what the next start throws away.
TEST(Faults, KilledWhileTheCacheIsWritten) {
  const TempDir dir;
  const std::string options = kOptions + "--parallel 2 --cache-disk '" + dir.path() + "'";
  const std::string want = [] {
    Program fresh(kOptions);
    return text_of(post(fresh, chat(kLong + "And the end.")));
  }();
  std::mt19937 random(7);
  for (int round = 0; round < 6; ++round) {
    Program program(options);
    ASSERT_NE(program.port(), 0) << program.log() << program.output();
    std::thread talk([&] {
      for (int i = 0; i < 50; ++i) {
        Socket socket(program.port());
        if (!socket.connected()) return;
        socket.send(request_text("POST", "/v1/chat/completions",
                                 dump(chat(kLong + std::to_string(round * 100 + i), 4))));
        if (socket.receive_all(3000).empty()) return;
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(30 + random() % 300));
    program.signal(SIGKILL);
    program.wait();
    talk.join();
  }
  Program after(options);
  ASSERT_NE(after.port(), 0) << after.log() << after.output();
  EXPECT_EQ(text_of(post(after, chat(kLong + "And the end."))), want);
  EXPECT_EQ(text_of(post(after, chat(kLong + "And the end."))), want) << "from what was kept";
  after.signal(SIGTERM);  // what it writes itself is whole then
  after.wait();
  for (const auto& entry : fs::recursive_directory_iterator(dir.path())) {
    EXPECT_NE(entry.path().extension(), ".part") << "a leftover of a kill: " << entry.path();
  }
}

// No file may grow beyond 4 KiB, which fails the cache's writes as a full disk does.
TEST(Faults, AFullDisk) {
  const TempDir dir;
  Program program(kOptions + "--cache-disk '" + dir.path() + "'", "ulimit -f 8;");
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  const std::string first = text_of(post(program, chat(kLong)));
  EXPECT_EQ(first.find("status"), std::string::npos) << first;
  EXPECT_EQ(text_of(post(program, chat(kLong))), first);
  // Failed writes are noticed by the next request; its own are under way a moment longer.
  const auto on_disk = [&] {
    const auto all = fs::recursive_directory_iterator(dir.path());
    return std::count_if(begin(all), end(all), [](const auto& entry) { return entry.is_regular_file(); });
  };
  for (int i = 0; i < 100 && metric(program, "tessera_cache_disk_bytes") != 0; ++i) {
    post(program, chat("Another one.", 1));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  for (int i = 0; i < 100 && on_disk() > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(on_disk(), 0) << "what could not be written whole is not there";
  EXPECT_EQ(text_of(post(program, chat(kLong))), first);
}

TEST(Faults, ACacheFolderThatCannotBeMade) {
  const TempDir dir;
  Program program(kOptions + "--cache-disk '" + dir.write("file", "x") + "/cache'");
  EXPECT_EQ(program.wait(), 1);
  EXPECT_NE(program.output().find("name another folder"), std::string::npos) << program.output();
}

// As many as the limit on descriptors lets a test open.
TEST(Faults, TenThousandIdleConnections) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &raised), 0);
  const size_t count = std::min<rlim_t>(10'000, limit.rlim_max - 300);
  Program program(kOptions + "--max-connections 20000");
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  {
    std::vector<std::unique_ptr<Socket>> idle;
    while (idle.size() < count) {
      idle.push_back(std::make_unique<Socket>(program.port()));
      ASSERT_TRUE(idle.back()->connected()) << idle.size();
      // Some say nothing, some half a request, some one whole.
      if (idle.size() % 3 == 1) idle.back()->send("POST /v1/chat/comp");
      if (idle.size() % 100 == 0) idle.back()->send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    EXPECT_EQ(post(program, chat("Among a crowd.")).status, 200);
    EXPECT_GE(metric(program, "tessera_connections"), static_cast<double>(count) * 0.99);
    EXPECT_NE(idle[99]->receive(1, 5000), "") << "one that asked was answered";
  }
  EXPECT_EQ(post(program, chat("Alone again.")).status, 200);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Through the engine's own compiler: what refers to itself is either bounded, or refused by name.
TEST(Faults, SchemasWithCycles) {
  Program program(kOptions);
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  const auto status = [&](const std::string& schema, bool tool) {
    Json body = chat("Call it.", 24);
    body.erase("ignore_eos");
    const Json parsed = Json::parse(schema);
    if (tool) {
      body["tools"] =
          Json::array({{{"type", "function"}, {"function", {{"name", "f"}, {"parameters", parsed}}}}});
      body["tool_choice"] = "required";
    } else {
      body["response_format"] = {{"type", "json_schema"},
                                 {"json_schema", {{"name", "s"}, {"schema", parsed}}}};
    }
    const Answer answer = post(program, body);
    if (answer.status == 400) {
      EXPECT_NE(answer.json()["error"]["message"].get<std::string>(), "") << answer.body;
    }
    return answer.status;
  };
  const std::string list =
      R"({"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["v"],"additionalProperties":false})";
  const std::string mutual =
      R"({"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"array","items":{"$ref":"#/$defs/B"}},"B":{"type":"array","items":{"$ref":"#/$defs/A"}}}})";
  for (const bool tool : {false, true}) {
    EXPECT_EQ(status(list, tool), 200);
    EXPECT_EQ(status(mutual, tool), 200);
    // These never come to an end, or to anything.
    for (const char* endless :
         {R"({"$ref":"#"})",
          R"({"type":"object","properties":{"a":{"$ref":"#/properties/a"}},"required":["a"]})",
          R"({"allOf":[{"$ref":"#"}]})",
          R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
          R"({"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}}})"}) {
      EXPECT_EQ(status(endless, tool), 400) << endless << (tool ? " of a tool" : "");
    }
    EXPECT_EQ(status(R"({"$ref":"#/nowhere"})", tool), 400);
    EXPECT_EQ(status(R"({"$ref":"http://127.0.0.1/schema"})", tool), 400);
  }
  EXPECT_EQ(post(program, chat("Still there?")).status, 200);
}

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

// Headers that promise more than anybody has memory for, in every kind of file.
TEST(Faults, MediaBombs) {
  Program program(kOptions + "--media-process on");
  ASSERT_NE(program.port(), 0) << program.log() << program.output();
  EXPECT_NE(program.log().find("in confined processes"), std::string::npos) << program.log();
  const auto send = [&](const char* type, const std::string& file) {
    const std::vector<uint8_t> raw(file.begin(), file.end());
    const Json part = {{"type", type}, {type, {{"url", "data:;base64," + base64_encode(raw)}}}};
    return post(program, {{"messages", Json::array({{{"role", "user"}, {"content", Json::array({part})}}})},
                          {"max_tokens", 2}});
  };
  const std::string zeros(200, '\0');
  const std::vector<std::pair<const char*, std::string>> bombs = {
      {"image_url", bytes({0x89}) + "PNG\r\n\x1a\n" + bytes({0, 0, 0, 13}) + "IHDR" +
                        bytes({0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 8, 6, 0, 0, 0}) + zeros},
      {"image_url",
       "GIF89a" +
           bytes({0xff, 0xff, 0xff, 0xff, 0xf7, 0, 0, 0x2c, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 8}) +
           zeros},
      {"image_url", bytes({0xff, 0xd8, 0xff, 0xc0, 0, 17,   8, 0xff, 0xff, 0xff, 0xff,
                           3,    1,    0x44, 0,    2, 0x11, 0, 3,    0x11, 0}) +
                        zeros},
      {"image_url", "BM" + bytes({0xff, 0xff, 0xff, 0x7f, 0,    0,    0,    0,    54,   0,    0, 0, 40, 0,
                                  0,    0,    0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 1, 0, 24, 0}) +
                        zeros},
      {"image_url", "RIFF" + bytes({100, 0, 0, 0}) + "WEBPVP8L" +
                        bytes({50, 0, 0, 0, 0x2f, 0xff, 0xff, 0xff, 0xff}) + zeros},
      {"image_url", "II*" + bytes({0, 8, 0, 0, 0, 0xff, 0xff}) + zeros},
      {"audio_url", "RIFF" + bytes({0xff, 0xff, 0xff, 0xff}) + "WAVEfmt " +
                        bytes({16,   0,    0,    0,    1,    0,    0xff, 0xff, 0xff, 0xff,
                               0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 32,   0}) +
                        "data" + bytes({0xff, 0xff, 0xff, 0xff}) + zeros},
      {"audio_url", "fLaC" + bytes({0x80, 0xff, 0xff, 0xff}) + zeros},
      {"video_url", bytes({0x7f, 0xff, 0xff, 0xff}) + "ftypisom" + zeros},
      {"video_url", bytes({0x1a, 0x45, 0xdf, 0xa3, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) + zeros},
  };
  for (const auto& [type, file] : bombs) {
    const Answer answer = send(type, file);
    EXPECT_TRUE(answer.status == 400 || answer.status == 413) << answer.status << answer.body;
    EXPECT_NE(answer.body.find("messages[0].content[0]"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(post(program, chat("Still there?")).status, 200);
}

}  // namespace
}  // namespace tessera::server
