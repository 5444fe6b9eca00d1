#include "engine/stop_strings.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

std::string run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
                bool* hit = nullptr) {
  StopStrings s(stops);
  std::string out;
  for (const std::string& p : pieces) out += s.push(p);
  out += s.finish();
  if (hit != nullptr) *hit = s.hit() != nullptr;
  return out;
}

TEST(StopStrings, StopsAtTheEarliestInWhateverPieces) {
  bool hit = false;
  EXPECT_EQ(run({"END", "stop"}, {"one st", "op two END"}, &hit), "one ");
  EXPECT_TRUE(hit);
  StopStrings several({"nothing", "bc", "abc", "b"});
  EXPECT_EQ(several.push("xab"), "xa");
  ASSERT_NE(several.hit(), nullptr);
  EXPECT_EQ(*several.hit(), "b");
  StopStrings equal({"ab", "a", "ab"});
  equal.push("ab");
  EXPECT_EQ(*equal.hit(), "ab") << "of those at one place, the first that was given";
  const std::string text = "abcabdabcEabcENDtail";
  for (size_t cut = 0; cut <= text.size(); ++cut)
    EXPECT_EQ(run({"abcEND"}, {text.substr(0, cut), text.substr(cut)}), "abcabdabcE") << cut;
}

TEST(StopStrings, HeldTextComesOutAtTheEnd) {
  StopStrings s({"</answer>"});
  EXPECT_EQ(s.push("42</ans"), "42");
  EXPECT_EQ(s.push("wer of all"), "</answer of all");
  EXPECT_EQ(s.push("<"), "");
  EXPECT_EQ(s.finish(), "<");
  EXPECT_EQ(s.hit(), nullptr);
}

TEST(StopStrings, NothingPassesAfterAHit) {
  StopStrings s({"x", ""});
  EXPECT_EQ(s.push("axb"), "a");
  EXPECT_EQ(s.push("more"), "");
  EXPECT_EQ(s.finish(), "");
}

}  // namespace
}  // namespace tessera
