#pragma once
// Which model a command means.
#include <string>

namespace tessera::cli {

/// A directory with a config.json.
bool is_model_directory(const std::string& path);
/// That, or a file whose name ends in .gguf.
bool is_model(const std::string& path);

/// `given` when not empty; else $TESSERA_MODEL; else models/mini beside the source tree or the program.
/// Throws Error(kIo) naming the places looked at when there is none.
std::string resolve_model(const std::string& given);

/// Where packed weights are kept: $XDG_CACHE_HOME/tessera or ~/.cache/tessera; "" when there is no home.
std::string pack_directory();

}  // namespace tessera::cli
