// The main job: the default model reads the departures board of README's first command, which it was not
// trained on.
#include <gtest/gtest.h>

#include "support/boards.h"

namespace tessera::test {
namespace {

TEST(Mini, ReadsTheDeparturesBoard) {
  const auto engine = Engine::load(TESSERA_SOURCE_DIR "/models/mini");
  std::vector<std::string> wanted;
  const auto boards = example_boards();
  for (const auto& row : boards.at("departures.png").at("rows")) wanted.push_back(board_row(row));
  ASSERT_GE(wanted.size(), 5U);
  EXPECT_EQ(read_board(engine, "departures.png"), wanted);
  EXPECT_EQ(engine->info().default_sampling.temperature, 0);  // README's command reads the same every time
}

}  // namespace
}  // namespace tessera::test
