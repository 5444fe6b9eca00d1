// Who may ask, and which media may be named.
#include <filesystem>
#include <fstream>

#include "base/base64.h"
#include "client.h"
#include "server/media_source.h"
#include "server/security.h"
#include "support/temp_dir.h"

namespace tessera::server {
namespace {

class Access : public ScriptedServer {
 protected:
  Answer with_part(const Json& part) {
    return post("/v1/chat/completions",
                {{"messages", Json::array({{{"role", "user"}, {"content", Json::array({part})}}})}});
  }
  static std::vector<uint8_t> example() {
    std::ifstream in(std::string(TESSERA_SOURCE_DIR) + "/examples/daylight.png", std::ios::binary);
    EXPECT_TRUE(in.good());
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

TEST_F(Access, KeysInEveryApisShape) {
  options_.access.api_keys = {"first-key", "second-key"};
  start();
  model_->play({{text_event("x")}});
  const Json body = {{"messages", user("hi")}, {"max_tokens", 4}};
  for (const char* header :
       {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer first-ke\r\n",
        "Authorization: Bearer \r\n", "x-api-key: first-key2\r\n", "Authorization: Basic first-key\r\n"}) {
    const Answer openai = post("/v1/chat/completions", body, header);
    EXPECT_EQ(openai.status, 401) << header;
    EXPECT_EQ(openai.json()["error"]["type"], "authentication_error");
    const Answer anthropic = post("/v1/messages", body, header);
    EXPECT_EQ(anthropic.status, 401);
    EXPECT_EQ(anthropic.json()["error"]["type"], "authentication_error");
    EXPECT_TRUE(post("/api/chat", body, header).json()["error"].is_string());
    EXPECT_EQ(get("/metrics", header).status, 401);
  }
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_EQ(post("/v1/chat/completions", body, "Authorization: Bearer second-key\r\n").status, 200);
  EXPECT_EQ(post("/v1/messages", body, "x-api-key: first-key\r\n").status, 200);
}

TEST_F(Access, WithoutAKeyNoBodyIsRead) {
  options_.access.api_keys = {"k"};
  start();
  Socket socket(port());
  socket.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n");
  EXPECT_EQ(parse_answer(socket.receive()).status, 401);
}

TEST_F(Access, WebPagesOfOtherOriginsAreRefused) {
  start();
  model_->play({{text_event("x")}});
  EXPECT_EQ(get("/health", "Origin: https://evil.example\r\n").status, 403);
  EXPECT_EQ(get("/health", "Origin: null\r\n").status, 403);
  EXPECT_EQ(get("/health", "Origin: http://localhost\r\n").status, 200) << "a page of this server";
}

TEST_F(Access, AllowedOriginsGetTheirHeaders) {
  options_.access.origins = {"https://chat.example"};
  start();
  const Answer answer = get("/health", "Origin: https://chat.example\r\n");
  EXPECT_TRUE(answer.has("Access-Control-Allow-Origin: https://chat.example\r\n"));
  const Answer preflight = ask(port(), "OPTIONS", "/v1/chat/completions", {},
                               "Origin: https://chat.example\r\nAccess-Control-Request-Method: "
                               "POST\r\nAccess-Control-Request-Headers: x-a\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_TRUE(preflight.has("Access-Control-Allow-Headers: x-a\r\n"));
  EXPECT_EQ(get("/health", "Origin: https://other.example\r\n").status, 403);
}

TEST_F(Access, HostNamesThatWerePointedHereAreRefused) {
  options_.access.hosts = {"box.lan"};
  start();
  const auto status = [&](const std::string& host) {
    Socket socket(port());
    socket.send("GET /health HTTP/1.1\r\nConnection: close\r\nHost: " + host + "\r\n\r\n");
    return parse_answer(socket.receive_all()).status;
  };
  EXPECT_EQ(status("localhost:80"), 200);
  EXPECT_EQ(status("127.0.0.1:80"), 200);
  EXPECT_EQ(status("[::1]:80"), 200);
  EXPECT_EQ(status("box.lan"), 200);
  EXPECT_EQ(status("evil.example"), 403);
}

TEST_F(Access, PicturesAsDataUris) {
  start();
  model_->play({{text_event("x")}});
  const std::string base64 = base64_encode(example());
  for (const Json& part :
       {Json{{"type", "image_url"},
             {"image_url", {{"url", "data:image/png;base64," + base64}, {"detail", "low"}}}},
        Json{{"type", "image_url"}, {"image_url", "data:;base64," + base64}, {"max_soft_tokens", 70}},
        Json{{"type", "input_image"}, {"image_url", base64}, {"detail", "low"}}}) {
    ASSERT_EQ(with_part(part).status, 200) << dump(part).substr(0, 90) << with_part(part).body;
    const Prompt prompt = model_->prompt();
    ASSERT_EQ(prompt.media.size(), 1U);
    EXPECT_LE(prompt.media[0].soft_tokens(), 70);
    EXPECT_GT(prompt.media[0].soft_tokens(), 40);
  }
}

TEST_F(Access, SoundGoesAfterTheText) {
  start();
  model_->play({{text_event("x")}});
  std::string wav(
      "RIFF\x24\x0a\x00\x00WAVEfmt "
      "\x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00"
      "data\x00\x0a\x00\x00",
      44);
  wav += std::string(2560, '\1');
  const std::vector<uint8_t> bytes(wav.begin(), wav.end());
  const Json content = Json::array(
      {{{"type", "input_audio"}, {"input_audio", {{"data", base64_encode(bytes)}, {"format", "wav"}}}},
       {{"type", "text"}, {"text", "Transcribe."}}});
  const Answer answer =
      post("/v1/chat/completions", {{"messages", Json::array({{{"role", "user"}, {"content", content}}})}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(model_->prompt().rendered.find("Transcribe.<|audio|>"), std::string::npos)
      << model_->prompt().rendered;
}

TEST_F(Access, BadMediaAreBadRequestsThatNameThePart) {
  start();
  for (const char* url : {"data:image/png;base64,!!!!", "data:image/png;base64,", "data:image/png",
                          "data:image/png;base64,AAAA", "http://127.0.0.1/x.png", "https://example.com/x.png",
                          "file:///etc/passwd", "ftp://x/y", "%%%"}) {
    const Answer answer = with_part({{"type", "image_url"}, {"image_url", {{"url", url}}}});
    EXPECT_EQ(answer.status, 400) << url;
    EXPECT_NE(answer.json()["error"]["message"].get<std::string>().find("messages[0].content[0]"),
              std::string::npos)
        << answer.body;
  }
  EXPECT_EQ(with_part({{"type", "image_url"}}).status, 400);
  EXPECT_EQ(with_part({{"type", "image_url"}, {"image_url", {{"url", 5}}}}).status, 400);
  EXPECT_EQ(with_part({{"type", "hologram"}, {"hologram", "x"}}).status, 400);
  // A picture of 60,000 x 60,000 pixels: counted from its header, never decoded.
  const std::vector<uint8_t> bomb = {0x89, 'P',  'N', 'G', 13,  10, 26, 10,   0,    0,    0,
                                     13,   'I',  'H', 'D', 'R', 0,  0,  0xEA, 0x60, 0,    0,
                                     0xEA, 0x60, 8,   2,   0,   0,  0,  0x12, 0x34, 0x56, 0x78};
  const int status =
      with_part({{"type", "image_url"}, {"image_url", "data:;base64," + base64_encode(bomb)}}).status;
  EXPECT_TRUE(status == 400 || status == 413) << status;
  expect_alive();
}

TEST_F(Access, FilesOnlyBelowTheFolder) {
  const TempDir dir;
  const auto bytes = example();
  std::filesystem::create_directory(dir.path() + "/in");
  for (const char* name : {"/in/a.png", "/secret.png"}) {
    std::ofstream(dir.path() + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  std::filesystem::create_symlink(dir.path() + "/secret.png", dir.path() + "/in/link.png");
  options_.media.file_dir = dir.path() + "/in";
  start();
  model_->play({{text_event("x")}});
  const auto status = [&](const std::string& url) {
    return with_part({{"type", "image_url"}, {"image_url", {{"url", url}}}}).status;
  };
  EXPECT_EQ(status("file://" + dir.path() + "/in/a.png"), 200);
  EXPECT_EQ(status("file:///a.png"), 200);
  EXPECT_EQ(status("file://" + dir.path() + "/secret.png"), 400);
  EXPECT_EQ(status("file:///../secret.png"), 400);
  EXPECT_EQ(status("file:///%2e%2e/secret.png"), 400);
  EXPECT_EQ(status("file:///link.png"), 400);
  EXPECT_EQ(status("file:///"), 400);
}

TEST_F(Access, FetchingNeverReachesInside) {
  options_.media.fetch_urls = true;
  options_.media.fetch_timeout_ms = 2000;
  start();
  for (const std::string host :
       {"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"}) {
    const Answer answer =
        with_part({{"type", "image_url"},
                   {"image_url", {{"url", "http://" + host + ":" + std::to_string(port()) + "/health"}}}});
    EXPECT_EQ(answer.status, 400) << host;
    EXPECT_NE(answer.body.find("private network"), std::string::npos) << host << answer.body;
  }
}

TEST_F(Access, FetchingWhereItIsAllowed) {
  options_.media.fetch_urls = options_.media.fetch_private = true;
  start();
  // The server itself is the other side: what it answers is no picture, and that is what is said.
  const Answer answer =
      with_part({{"type", "image_url"},
                 {"image_url", {{"url", "http://127.0.0.1:" + std::to_string(port()) + "/health"}}}});
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body.find("private network"), std::string::npos) << answer.body;
  EXPECT_EQ(answer.body.find("cannot fetch"), std::string::npos) << answer.body;
}

TEST(Addresses, InternalOnesAreKnown) {
  const auto v4 = [](std::initializer_list<uint8_t> a) { return is_internal_address(std::data(a), 4); };
  EXPECT_TRUE(v4({127, 0, 0, 1}));
  EXPECT_TRUE(v4({10, 1, 2, 3}));
  EXPECT_TRUE(v4({172, 31, 0, 1}));
  EXPECT_FALSE(v4({172, 32, 0, 1}));
  EXPECT_TRUE(v4({192, 168, 1, 1}));
  EXPECT_TRUE(v4({169, 254, 169, 254}));
  EXPECT_TRUE(v4({100, 64, 0, 1}));
  EXPECT_FALSE(v4({100, 128, 0, 1}));
  EXPECT_TRUE(v4({0, 0, 0, 0}));
  EXPECT_TRUE(v4({255, 255, 255, 255}));
  EXPECT_FALSE(v4({8, 8, 8, 8}));
  const auto v6 = [](std::initializer_list<uint8_t> a) {
    std::vector<uint8_t> bytes(a);
    bytes.resize(16);
    return is_internal_address(bytes.data(), 16);
  };
  EXPECT_TRUE(v6({}));
  EXPECT_TRUE(v6({0xfe, 0x80}));
  EXPECT_TRUE(v6({0xfc, 0}));
  EXPECT_TRUE(v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}));
  EXPECT_FALSE(v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 8, 8, 8, 8}));
  EXPECT_TRUE(v6({0x20, 0x02, 192, 168, 0, 1}));
  EXPECT_FALSE(v6({0x20, 0x01, 0x48, 0x60}));
}

TEST(Keys, ComparisonAndFiles) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abcabc"));
  EXPECT_FALSE(equal_in_constant_time("abcabc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", ""));
  const TempDir dir;
  std::ofstream(dir.path() + "/keys") << "# mine\n  one \n\ntwo\r\n";
  EXPECT_EQ(read_key_file(dir.path() + "/keys"), (std::vector<std::string>{"one", "two"}));
  std::ofstream(dir.path() + "/none") << "# nothing\n";
  EXPECT_THROW(read_key_file(dir.path() + "/none"), Error);
}

}  // namespace
}  // namespace tessera::server
