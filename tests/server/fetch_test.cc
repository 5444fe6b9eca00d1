// Media by address: what a server that fetches must never be led to.
#include <fmt/format.h>

#include <fstream>

#include "client.h"
#include "server/http.h"
#include "server/media_source.h"
#include "support/temp_dir.h"

namespace tessera::server {
namespace {

// For these tests 127.0.0.1 stands for the public internet; everything else is judged as always.
bool private_but_for_one(const uint8_t* address, size_t bytes) {
  const uint8_t open[4] = {127, 0, 0, 1};
  return !(bytes == 4 && std::equal(open, open + 4, address)) && is_internal_address(address, bytes);
}

/// A site that sends whoever asks for /go?URL to that URL, answers /file, and never ends /drip.
class Site {
 public:
  Site()
      : http_(
            [] {
              HttpOptions options;
              options.port = 0;
              return options;
            }(),
            [](const HttpRequest&) { return std::nullopt; }, [](const HttpRequest&) { return Headers{}; },
            [this](const HttpRequest& request, HttpReply& reply) { answer(request, reply); }) {}
  ~Site() { http_.stop(); }
  std::string at(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}{}", http_.port(), path);
  }
  int port() const { return http_.port(); }
  std::atomic<int> files{0};

 private:
  void answer(const HttpRequest& request, HttpReply& reply) {
    if (request.path == "/go")
      return reply.send({302, "", "", {{"Location", percent_decode(request.query)}}});
    if (request.path == "/file") {
      ++files;
      return reply.send({200, "image/png", "twelve bytes"});
    }
    if (request.path == "/missing") return reply.send({404, "text/plain", "no"});
    reply.stream("application/octet-stream", "");
    while (reply.write(std::string(1000, 'x'))) {
      if (request.path == "/drip") std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  HttpServer http_;
};

MediaPolicy policy() {
  MediaPolicy p;
  p.fetch_urls = true;
  p.fetch_timeout_ms = 3000;
  p.max_bytes = 100'000;
  p.is_private = private_but_for_one;
  return p;
}

std::string refusal(const std::string& url, const MediaPolicy& p = policy()) {
  try {
    fetch_url(url, p);
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 400);
    return error.what();
  }
  ADD_FAILURE() << url << " was fetched";
  return {};
}

TEST(Fetch, FilesAndRedirectsToFiles) {
  const Site site;
  const std::vector<uint8_t> got = fetch_url(site.at("/file"), policy());
  EXPECT_EQ(std::string(got.begin(), got.end()), "twelve bytes");
  EXPECT_EQ(fetch_url(site.at("/go?/file"), policy()).size(), 12U);
}

TEST(Fetch, RedirectsLeadNowhereInside) {
  const Site site, inside;
  for (const std::string host : {"127.0.0.2",
                                 "127.1.1.1",
                                 "10.0.0.1",
                                 "10.255.255.255",
                                 "172.16.0.1",
                                 "192.168.0.1",
                                 "169.254.169.254",
                                 "100.64.0.1",
                                 "0.0.0.0",
                                 "0",
                                 "[::1]",
                                 "[::]",
                                 "[fd00::1]",
                                 "[fe80::1]",
                                 "[::ffff:10.0.0.1]",
                                 "[::ffff:127.0.0.2]",
                                 "[64:ff9b::a00:1]",
                                 "[2002:7f00:1::]",
                                 "2130706434",
                                 "0x7f000002",
                                 "0177.0.0.2"}) {
    const std::string target = fmt::format("http://{}:{}/file", host, inside.port());
    EXPECT_NE(refusal(target).find("private network"), std::string::npos) << target;
    EXPECT_NE(refusal(site.at("/go?" + target)).find("private network"), std::string::npos) << target;
  }
  EXPECT_EQ(inside.files, 0);
}

TEST(Fetch, NamesAreJudgedByWhatTheyLeadTo) {
  const Site inside;
  MediaPolicy p = policy();
  p.is_private = is_internal_address;
  char own[256] = "";
  ASSERT_EQ(::gethostname(own, sizeof own - 1), 0);
  for (const std::string name : {"localhost", "LOCALHOST"})
    EXPECT_NE(refusal(fmt::format("http://{}:{}/file", name, inside.port()), p).find("private network"),
              std::string::npos)
        << name;
  refusal(fmt::format("http://{}:{}/file", own, inside.port()), p);  // its address, if it has one here
  EXPECT_EQ(inside.files, 0);
}

TEST(Fetch, OtherSchemesEndlessWaysAndEndlessFiles) {
  const Site site;
  const TempDir dir;
  const std::string file = dir.write("secret", "twelve bytes");
  for (const std::string& url : {"file://" + file, std::string("ftp://127.0.0.1/x"),
                                 std::string("gopher://127.0.0.1/x"), std::string("dict://127.0.0.1/x")}) {
    EXPECT_NE(refusal(url), "");
    EXPECT_NE(refusal(site.at("/go?" + url)), "");
  }
  std::string loop = "/file";
  for (int i = 0; i < 4; ++i) loop = "/go?" + loop;
  EXPECT_NE(refusal(site.at(loop)).find("redirects"), std::string::npos);
  EXPECT_NE(refusal(site.at("/missing")).find("404"), std::string::npos);
  EXPECT_NE(refusal(site.at("/flood")).find("larger than the limit"), std::string::npos);
  MediaPolicy hasty = policy();
  hasty.fetch_timeout_ms = 300;
  EXPECT_NE(refusal(site.at("/drip"), hasty), "");
}

TEST(Fetch, NothingUnlessAllowed) {
  const Site site;
  MediaInput input;
  input.source = site.at("/file");
  input.place = "messages[0].content[0]";
  MediaPolicy closed;
  try {
    media_bytes(input, closed);
    ADD_FAILURE() << "fetched";
  } catch (const ApiError& error) {
    EXPECT_NE(std::string(error.what()).find("--media-urls"), std::string::npos) << error.what();
  }
  EXPECT_EQ(site.files, 0);
}

}  // namespace
}  // namespace tessera::server
