#pragma once
// What the default model answers; the example boards and what stands there.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file_map.h"
#include "tessera/tessera.h"

namespace tessera::test {

inline nlohmann::json example_boards() {
  return nlohmann::json::parse(read_text_file(TESSERA_SOURCE_DIR "/examples/boards.json", 1 << 20));
}

/// The default model's greedy reply to one message. asked: {"prompt", and "image" or "audio" or both, paths
/// from the project's folder}, as in tests/fixtures/mini/answers.json.
inline Reply ask(const std::shared_ptr<Engine>& engine, const nlohmann::json& asked) {
  nlohmann::json content = nlohmann::json::array();
  std::vector<Media> media;
  const auto bytes_of = [&](const char* kind) {
    content.push_back({{"type", kind}});
    const std::string path = TESSERA_SOURCE_DIR "/" + asked[kind].get<std::string>();
    return std::pair(read_binary_file(path, 1 << 25), path);
  };
  if (asked.contains("image")) {
    const auto [bytes, path] = bytes_of("image");
    media.push_back(Media::image(bytes, path));
  }
  content.push_back({{"type", "text"}, {"text", asked["prompt"]}});
  if (asked.contains("audio")) {  // behind the text, as the command line has it
    const auto [bytes, path] = bytes_of("audio");
    media.push_back(Media::audio(bytes, path));
  }
  Session session(engine);
  session.set_prompt(
      render_chat(nlohmann::json{{"messages", {{{"role", "user"}, {"content", content}}}}}.dump()), media);
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 1000;
  return session.generate(options);
}

/// The answer to "Read the board.", in lines.
inline std::vector<std::string> read_board(const std::shared_ptr<Engine>& engine, const std::string& file) {
  std::vector<std::string> lines(1);
  for (const char c : ask(engine, {{"image", "examples/" + file}, {"prompt", "Read the board."}}).text) {
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
