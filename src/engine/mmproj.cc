// Which mmproj belongs to a GGUF model, by the names beside it.
#include <algorithm>
#include <filesystem>
#include <regex>
#include <vector>

#include "base/error.h"
#include "engine/model_source.h"
#include "format/json.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// "mmproj-gemma-4-12b-it-BF16.gguf" → "gemma-4-12b-it"
std::string model_part(const std::string& mmproj_name) {
  static const std::regex number_format("[-_.](bf16|f16|f32|i?q[0-9][a-z0-9_]*)$");
  std::string name = lower(mmproj_name);
  name = name.substr(6, name.size() - 6 - 5);  // "mmproj", ".gguf"
  name = std::regex_replace(name, number_format, "");
  const size_t begin = name.find_first_not_of("-_.");
  return begin == std::string::npos ? "" : name.substr(begin);
}

std::vector<std::string> candidates(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator it(directory, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string(), small = lower(name);
    if (small.starts_with("mmproj") && small.ends_with(".gguf")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

MmprojChoice choose_mmproj(const std::string& model_path) {
  const fs::path model(model_path);
  const fs::path directory = model.has_parent_path() ? model.parent_path() : fs::path(".");
  const auto path_of = [&](const std::string& name) {
    return model.has_parent_path() ? (directory / name).string() : name;
  };
  const std::vector<std::string> names = candidates(directory);
  const std::string stem = lower(model.stem().string());
  const std::string* best = nullptr;
  size_t longest = 0;
  for (const std::string& name : names) {
    const std::string part = model_part(name);
    if (part.size() <= longest || !stem.starts_with(part)) continue;
    longest = part.size();
    best = &name;
  }
  if (best != nullptr) return {path_of(*best), true, ""};
  if (names.size() == 1) return {path_of(names[0]), false, ""};
  if (names.empty()) return {};
  return {
      "", true,
      fmt::format("{} files mmproj*.gguf lie beside the model, none is named after it ({}, …): name one with "
                  "--mmproj to see and hear",
                  names.size(), printable(names[0]))};
}

}  // namespace tessera
