// All example boards, held-out fonts: the bars of the default model, 95 % of fields and 85 % of whole rows.
#include <gtest/gtest.h>

#include "support/boards.h"

namespace tessera::test {
namespace {

TEST(Mini, ReadsTheExampleBoards) {
  const auto engine = Engine::load(TESSERA_SOURCE_DIR "/models/mini");
  int rows = 0, rows_right = 0, fields = 0, fields_right = 0;
  const auto boards = example_boards();
  EXPECT_GE(boards.size(), 12U);
  for (const auto& [file, board] : boards.items()) {
    const std::vector<std::string> found = read_board(engine, file);
    for (size_t i = 0; i < board["rows"].size(); ++i) {
      const std::string wanted = board_row(board["rows"][i]), read = i < found.size() ? found[i] : "";
      ++rows;
      rows_right += read == wanted;
      if (read != wanted)
        std::printf("%s\n  want %s\n  read %s\n", file.c_str(), wanted.c_str(), read.c_str());
      std::vector<std::string> cells(1);
      for (size_t at = 0, next = 0; next != std::string::npos; at = next + 3) {
        next = read.find(" | ", at);
        cells.push_back(read.substr(at, next - at));
      }
      for (size_t f = 0; f < board["rows"][i].size(); ++f, ++fields)
        fields_right += f + 1 < cells.size() && cells[f + 1] == board["rows"][i][f].get<std::string>();
    }
  }
  std::printf("%d of %d rows, %d of %d fields\n", rows_right, rows, fields_right, fields);
  EXPECT_GE(rows_right, 0.85 * rows);
  EXPECT_GE(fields_right, 0.95 * fields);
}

}  // namespace
}  // namespace tessera::test
