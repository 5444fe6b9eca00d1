#pragma once
// A command's options from a TOML file.
#include <CLI/App.hpp>
#include <string>

namespace tessera::cli {

/// Gives every option that neither the command line nor the environment has set its value from the file: keys
/// are the options' long names ("max-queue" or max_queue), lists for options that may be repeated. Throws
/// UsageError with the line for what is no TOML, no option, or not its kind of value.
void apply_config_file(CLI::App& command, const std::string& path);

}  // namespace tessera::cli
