// Prompt assembly: markers, soft tokens, time stamps, placeholders; steps never cut a vision block.
#include "engine/sequence.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "engine/kv_cache.h"
#include "support/engines.h"

namespace tessera::test {
namespace {

KvSlot after(int64_t written) {
  KvSlot slot;
  slot.written = written;
  return slot;
}

EngineImpl& engine() {
  return tiny_engine({"cpu", ""})->impl();
}
Sequence empty() {
  return {engine().config, engine().tokenizer};
}
Media waves() {
  return tiny_media({"image", "waves.png", 70});
}
Media chirp() {
  return tiny_media({"audio", "chirp.wav"});
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadRequest);
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(Sequence, MediaStandBetweenTheirMarkers) {
  const ModelConfig& c = engine().config;
  Sequence s = empty();
  s.append_media(waves());
  s.append_media(waves());
  s.append_media(chirp());
  ASSERT_EQ(s.size(), 2 * 62 + 28);
  EXPECT_EQ(s.ids()[0], c.image_begin);
  EXPECT_EQ(s.ids()[61], c.image_end);
  EXPECT_EQ(s.ids()[62], c.image_begin);  // two images in a row are two blocks
  EXPECT_EQ(s.ids()[124], c.audio_begin);
  EXPECT_EQ(s.kind(0), TokenKind::kText);
  EXPECT_EQ(s.kind(1), TokenKind::kImage);
  EXPECT_EQ(s.block_begin(30), 1);
  EXPECT_EQ(s.block_end(1), 60);
  EXPECT_EQ(s.block_end(63), 122);
  EXPECT_EQ(s.kind(130), TokenKind::kAudio);
  EXPECT_EQ(s.block_end(130), 130);  // audio is causal
}

TEST(Sequence, TextAroundNothingIsOneString) {
  Sequence split = empty(), whole = empty();
  split.append_text("Hello wo");
  split.append_text("rld");
  split.flush();
  whole.append_text("Hello world");
  whole.flush();
  EXPECT_EQ(split.ids(), whole.ids());
}

TEST(Sequence, StepsCoverEverythingAndCutNoBlock) {
  Sequence s = empty();
  s.append_text("one two three four five six seven");
  s.append_media(waves());
  s.append_media(chirp());
  s.append_text("words between");
  s.append_media(waves());
  s.append_media(tiny_media({"image", "shapes.png", 280}));
  s.append_text("the end");
  s.flush();
  for (int64_t chunk = 1; chunk < 400; ++chunk)
    for (int64_t begin = 0; begin < s.size();) {
      const int64_t end = s.step_end(begin, chunk);
      ASSERT_GT(end, begin) << "chunk " << chunk;
      ASSERT_TRUE(end == s.size() || s.block_begin(end) == end) << "chunk " << chunk << " cuts at " << end;
      if (end - begin > chunk) {
        ASSERT_EQ(s.block_begin(end - 1), begin) << "only one block may be longer";
      }
      begin = end;
    }
}

TEST(Sequence, RenderedChatTakesMediaInOrder) {
  Sequence s = empty();
  const std::vector<Media> media = {waves(), chirp()};
  s.append_rendered("<bos>a <|image|>b<|audio|>", media);
  Sequence parts = empty();
  parts.append_text("<bos>a ");
  parts.append_media(media[0]);
  parts.append_text("b");
  parts.append_media(media[1]);
  EXPECT_EQ(s.ids(), parts.ids());
}

TEST(Sequence, PlaceholdersAndMediaMustMatch) {
  EXPECT_NE(message_of([] {
              Sequence s = empty();
              s.append_rendered("<|image|><|image|>", std::vector{waves()});
            }).find("2 media placeholder(s), 1 media part(s)"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              Sequence s = empty();
              s.append_rendered("text", std::vector{waves()});
            }).find("0 media placeholder(s), 1 media part(s)"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              Sequence s = empty();
              s.append_rendered("<|audio|>", std::vector{waves()});
            }).find("<|audio|>"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              Sequence s = empty();
              s.append_text("look <|image|> here <|image|>");
              s.flush();
            }).find("2 more image placeholder(s)"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              Sequence s = empty();
              s.append_tokens(std::vector{engine().config.audio_token});
            }).find("placeholder"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              Sequence s = empty();
              s.append_tokens(std::vector{1024});
            }).find("1024"),
            std::string::npos);
}

TEST(Sequence, CommonPrefixSeesContentAndKeepsBlocksWhole) {
  const auto of = [](const std::string& text, const std::vector<Media>& media) {
    Sequence s = empty();
    s.append_rendered(text, media);
    return s;
  };
  const Media noise = tiny_media({"image", "noise.png", 70});  // 60 soft tokens, as waves
  const Sequence a = of("<bos>x<|image|>yz", {waves()}), b = of("<bos>x<|image|>yzzz", {waves()}),
                 c = of("<bos>x<|image|>yz", {noise});
  EXPECT_EQ(a.common_prefix(a.keys()), a.size());
  EXPECT_GE(a.common_prefix(b.keys()), 1 + 1 + 62);
  EXPECT_EQ(a.common_prefix(c.keys()), 3);  // <bos>, x, begin marker: never inside the image
  EXPECT_EQ(c.common_prefix(a.keys()), 3);
}

TEST(KvCache, ResumeOnlyWhereTheRingStillHoldsTheWindow) {
  EngineImpl& e = engine();  // window 16
  const KvCache kv(*e.backend, e.model, KvType::kF32, 1, 2304, 64);
  EXPECT_TRUE(kv.can_resume(0, after(0)));
  EXPECT_TRUE(kv.can_resume(100, after(100)));
  EXPECT_FALSE(kv.can_resume(101, after(100)));
  // Ring: 15 + 64 positions in blocks of 16, and one block: 96. A row at p needs p - 15.
  int64_t furthest = 1000;
  while (kv.can_resume(furthest, after(1000))) --furthest;
  EXPECT_EQ(furthest, 1000 - 96 + 15 - 1);
  EXPECT_TRUE(kv.can_resume(5, after(90)));  // nothing overwritten yet
  EXPECT_TRUE(kv.can_resume(0, after(96)));
  EXPECT_FALSE(kv.can_resume(
      0, after(97)));  // position 0 is gone, and a row at 0 sees itself only after writing: start over
}

}  // namespace
}  // namespace tessera::test
