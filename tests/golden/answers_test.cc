// What the default model answers, word for word: pictures, sounds, questions by text and by voice, refusals.
// All of these answers are right ones, so an engine that goes wrong at any step between the file and the text
// shows here.
#include <gtest/gtest.h>

#include "support/boards.h"

namespace tessera::test {
namespace {

TEST(Mini, AnswersWordForWord) {
  const auto pinned =
      nlohmann::json::parse(read_text_file(TESSERA_SOURCE_DIR "/tests/fixtures/mini/answers.json", 1 << 20));
  ASSERT_GE(pinned.size(), 30U);
  const auto engine = Engine::load(TESSERA_SOURCE_DIR "/models/mini");
  for (const auto& asked : pinned) {
    const Reply reply = ask(engine, asked);
    EXPECT_EQ(reply.text, asked["answer"].get<std::string>()) << asked.dump();
    EXPECT_EQ(reply.finish, FinishReason::kStop) << asked.dump();
  }
}

}  // namespace
}  // namespace tessera::test
