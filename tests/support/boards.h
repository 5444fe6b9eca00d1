#pragma once
// The example boards: what the default model reads of them against what stands there.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file_map.h"
#include "tessera/tessera.h"

namespace tessera::test {

inline nlohmann::json example_boards() {
  return nlohmann::json::parse(read_text_file(TESSERA_SOURCE_DIR "/examples/boards.json", 1 << 20));
}

/// The answer to "Read the board.", greedy, in lines.
inline std::vector<std::string> read_board(const std::shared_ptr<Engine>& engine, const std::string& file) {
  const std::string path = TESSERA_SOURCE_DIR "/examples/" + file;
  const std::vector<uint8_t> bytes = read_binary_file(path, 1 << 25);
  const std::vector<Media> media = {Media::image(bytes, path)};
  Session session(engine);
  session.set_prompt(
      render_chat(
          R"({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Read the board."}]}]})"),
      media);
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 1000;
  const Reply reply = session.generate(options);
  std::vector<std::string> lines(1);
  for (const char c : reply.text) {
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  }
  return lines;
}

inline std::string board_row(const nlohmann::json& fields) {
  std::string row;
  for (const auto& f : fields) row += (row.empty() ? "" : " | ") + f.get<std::string>();
  return row;
}

}  // namespace tessera::test
