#include "engine/drafter_source.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/file_map.h"
#include "engine/memory_need.h"
#include "engine/memory_plan.h"
#include "engine/model_info.h"
#include "model/mtp.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// In the order in which they are tried.
std::vector<std::string> beside(const std::string& model) {
  std::error_code failed;
  const bool directory = fs::is_directory(model, failed);
  const fs::path folder = directory                           ? fs::path(model)
                          : fs::path(model).has_parent_path() ? fs::path(model).parent_path()
                                                              : fs::path(".");
  std::vector<std::string> found;
  if (file_exists((folder / "assistant" / "config.json").string()))
    found.push_back((folder / "assistant").string());
  std::vector<std::string> files;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (it->path() != fs::path(model) && name.ends_with(".gguf") &&
        (name.find("assistant") != std::string::npos || name.ends_with("-mtp.gguf")))
      files.push_back(it->path().string());
  }
  std::sort(files.begin(), files.end());
  found.insert(found.end(), files.begin(), files.end());
  return found;
}

void note(ModelInfo& info, const std::string& text) {
  info.note += (info.note.empty() ? "" : "; ") + text;
}

ModelSource open_pair(const std::string& path, const ModelConfig& config, ModelInfo& info) {
  ModelSource source = open_drafter(path);
  check_pair(source.config, config);
  info.drafter_weight_bytes = model_info(source.config, source.store, nullptr).weight_bytes;
  info.drafter = path;
  return source;
}

}  // namespace

std::optional<ModelSource> find_drafter(const ModelConfig& config, const EngineOptions& options,
                                        ModelInfo& info) {
  if (options.draft == 0) return std::nullopt;
  if (!options.draft_model.empty()) return open_pair(options.draft_model, config, info);
  for (const std::string& path : beside(config.path)) {
    try {
      return open_pair(path, config, info);
    } catch (const Error& error) {
      note(info, fmt::format("{} was not used: {}", path, error.what()));
    }
  }
  return std::nullopt;
}

void forget_drafter(ModelInfo& info, const std::string& why) {
  note(info, fmt::format("the drafter {} is not used: {}", info.drafter, why));
  info.drafter.clear();
  info.drafter_weight_bytes = 0;
}

bool drafter_fits(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                  AskedCard& card) {
  try {
    if (options.backend == "cuda")
      check_card(config, info, options, card);
    else
      return memory_need(info, options).fits();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kTooLarge) throw;
    return false;
  }
  return true;
}

}  // namespace tessera
