#include "format/json.h"

#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/file_map.h"

namespace tessera {
namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kMaxValues = 8'000'000;  // 16 bytes each in nlohmann's tree

}  // namespace

std::string printable(std::string_view text) {
  constexpr size_t kMaxBytes = 160;
  std::string out(text.substr(0, kMaxBytes));
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  if (text.size() > kMaxBytes) out += "...";
  return out;
}

FileJson parse_json(std::string_view text, const std::string& where) {
  std::vector<std::unordered_set<std::string>> names;  // one set per open object
  int64_t values = 0;
  const auto check = [&](int depth, FileJson::parse_event_t event, FileJson& parsed) {
    using Kind = FileJson::parse_event_t;
    if (event == Kind::object_start || event == Kind::array_start) {
      if (depth >= kMaxDepth)
        throw_error(ErrorKind::kBadModel, "{}: JSON is nested deeper than {} levels", where, kMaxDepth);
      if (event == Kind::object_start) names.emplace_back();
    } else if (event == Kind::object_end) {
      names.pop_back();
    } else if (event == Kind::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!names.back().insert(key).second)
        throw_error(ErrorKind::kBadModel, "{}: the name \"{}\" occurs twice in one JSON object", where,
                    printable(key));
    }
    if (event != Kind::object_end && event != Kind::array_end && ++values > kMaxValues)
      throw_error(ErrorKind::kBadModel, "{}: JSON has more than {} values", where, kMaxValues);
    return true;
  };
  try {
    return FileJson::parse(text.begin(), text.end(), check);
  } catch (const FileJson::exception& e) {
    throw_error(ErrorKind::kBadModel, "{}: not valid JSON: {}; download the file again", where,
                printable(e.what()));
  }
}

FileJson read_json_file(const std::string& path, int64_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path);
}

}  // namespace tessera
