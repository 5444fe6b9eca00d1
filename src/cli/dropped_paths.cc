#include "cli/dropped_paths.h"

#include <charconv>
#include <filesystem>

#include "cli/attachment.h"

namespace tessera::cli {
namespace {

constexpr std::string_view kBlanks = " \t\n";

struct Word {
  size_t begin, end;  // in the line, quotes included
  std::string plain;  // quotes and back-slashes resolved
};

/// The word that begins at `begin`: quoted when it starts with a quote that is closed before a blank or the
/// end.
Word word_at(std::string_view line, size_t begin) {
  const char quote = line[begin];
  if (quote == '\'' || quote == '"') {
    const size_t close = line.find(quote, begin + 1);
    const bool whole = close != std::string_view::npos &&
                       (close + 1 == line.size() || kBlanks.find(line[close + 1]) != std::string_view::npos);
    if (whole) return {begin, close + 1, std::string(line.substr(begin + 1, close - begin - 1))};
  }
  Word word{begin, begin, ""};
  while (word.end < line.size() && kBlanks.find(line[word.end]) == std::string_view::npos) {
    if (line[word.end] == '\\' && word.end + 1 < line.size()) ++word.end;
    word.plain += line[word.end++];
  }
  return word;
}

/// file:///a%20b -> /a b; other text unchanged.
std::string without_scheme(const std::string& text) {
  constexpr std::string_view kScheme = "file://";
  if (!text.starts_with(kScheme)) return text;
  std::string path;
  for (size_t i = kScheme.size(); i < text.size(); ++i) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      path += static_cast<char>(value);
      i += 2;
    } else {
      path += text[i];
    }
  }
  return path;
}

bool is_media_file(const std::string& path) {
  std::error_code ignored;
  return media_kind_of(path).has_value() && std::filesystem::is_regular_file(path, ignored);
}

}  // namespace

DroppedPaths take_dropped_paths(std::string_view line) {
  DroppedPaths dropped;
  size_t kept = 0;  // of the line, up to here, is in `text` or was taken
  for (size_t at = line.find_first_not_of(kBlanks); at != std::string_view::npos;) {
    const Word word = word_at(line, at);
    const std::string path = without_scheme(word.plain);
    if (is_media_file(path)) {
      dropped.paths.push_back(path);
      dropped.text += line.substr(kept, word.begin - kept);
      kept = word.end;
    }
    at = line.find_first_not_of(kBlanks, word.end);
  }
  dropped.text += line.substr(kept);
  if (!dropped.paths.empty()) {  // the blanks around what was taken
    const size_t first = dropped.text.find_first_not_of(kBlanks),
                 last = dropped.text.find_last_not_of(kBlanks);
    dropped.text = first == std::string::npos ? "" : dropped.text.substr(first, last - first + 1);
  }
  return dropped;
}

}  // namespace tessera::cli
