// The page in the program is the committed build, and the committed build is of these sources.
#include "server/page.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace tessera::server {
namespace {

const std::string kRoot = TESSERA_SOURCE_DIR;

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  for (int c; (c = fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  pclose(pipe);
  return text;
}

TEST(Page, is_embedded_as_committed) {
  const PageFile* page = find_page_file("/");
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->type, "text/html; charset=utf-8");
  EXPECT_EQ(page->encoding, "gzip");
  EXPECT_FALSE(page->forever);
  EXPECT_EQ(page->bytes, read(kRoot + "/web/dist/index.html.gz"));
  for (const std::string name : {"departures.png", "digits.wav", "pictures.png", "question.wav"}) {
    const PageFile* example = find_page_file("/examples/" + name);
    ASSERT_NE(example, nullptr) << name;
    EXPECT_EQ(example->bytes, read(kRoot + "/examples/" + name));
    EXPECT_EQ(example->type, name.ends_with(".png") ? "image/png" : "audio/wav");
  }
  EXPECT_EQ(find_page_file("/assets"), nullptr);
  EXPECT_EQ(find_page_file(""), nullptr);
}

HttpRequest request(std::string method, std::string path, Headers headers) {
  HttpRequest made;
  made.method = std::move(method);
  made.path = std::move(path);
  made.headers = std::move(headers);
  return made;
}

TEST(Page, is_answered_to_browsers) {
  const Headers browser = {{"accept", "text/html,*/*;q=0.8"}, {"accept-encoding", "gzip, br"}};
  const HttpRequest ask = request("GET", "/", browser);
  const PageFile* page = page_file_for(ask);
  ASSERT_NE(page, nullptr);
  const HttpAnswer answer = answer_page(*page, ask);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, page->bytes);
  EXPECT_EQ(page_file_for(request("GET", "/", {{"accept", "application/json"}})), nullptr);
  EXPECT_EQ(page_file_for(request("POST", "/", browser)), nullptr);
  EXPECT_NE(page_file_for(request("HEAD", "/recorder-worklet.js", {})), nullptr);

  HttpRequest again = ask;
  again.headers.emplace_back("if-none-match", std::string(page->etag));
  EXPECT_EQ(answer_page(*page, again).status, 304);
  EXPECT_EQ(answer_page(*page, request("GET", "/", {{"accept", "text/html"}})).status, 406);
}

TEST(Page, first_load_is_within_its_budget) {
  const PageFile* page = find_page_file("/");
  ASSERT_NE(page, nullptr);
  EXPECT_LT(page->bytes.size(), 350u * 1000);
}

TEST(Page, names_with_a_hash_are_kept_forever_and_only_those) {
  for (const PageFile& file : page_files()) {
    EXPECT_EQ(file.forever, file.path.starts_with("/assets/")) << file.path;
    EXPECT_FALSE(file.bytes.empty()) << file.path;
  }
}

TEST(Page, is_built_from_these_sources) {
  const std::string hash = output_of(kRoot + "/tests/web/sources_hash.sh");
  ASSERT_EQ(hash.size(), 65u) << hash;
  EXPECT_NE(read(kRoot + "/web/dist/manifest.txt").find("# sources " + hash), std::string::npos)
      << "web/src changed since web/dist was built. Run: scripts/web.sh";
}

}  // namespace
}  // namespace tessera::server
