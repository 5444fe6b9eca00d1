#include "cli/model_path.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace tessera::cli {

namespace fs = std::filesystem;

bool is_model_directory(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(fs::path(path) / "config.json", ignored);
}

bool is_model(const std::string& path) {
  std::error_code ignored;
  return is_model_directory(path) || (path.ends_with(".gguf") && fs::is_regular_file(path, ignored));
}

std::string resolve_model(const std::string& given) {
  if (!given.empty()) return given;
  const char* from_environment = std::getenv("TESSERA_MODEL");
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;

  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed).parent_path();
  const fs::path places[] = {
      program / "../../models/mini",      // build/<preset>/tessera in a clone
      program / "models/mini",            // unpacked beside the program
      program / "../share/tessera/mini",  // installed: bin/ and share/
  };
  for (const auto& place : places) {
    const std::string path = place.lexically_normal().string();
    if (is_model_directory(path)) return path;
  }
  throw_error(ErrorKind::kIo,
              "no model given and no default model at {}; name a model directory or .gguf file with -m PATH "
              "or set TESSERA_MODEL",
              places[0].lexically_normal().string());
}

std::string pack_directory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/tessera";
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] == '/' ? std::string(home) + "/.cache/tessera" : std::string();
}

}  // namespace tessera::cli
