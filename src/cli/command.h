#pragma once
// One file per command; each adds itself to the command line and leaves an action behind.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>

namespace tessera::cli {

/// What main runs once the command line is parsed. Returns the exit code; throws Error, UsageError,
/// OutputClosed.
using Action = std::function<int()>;

void add_run(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_render(CLI::App& app, Action& action);
void add_trace(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);
void add_synth(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_media_process(CLI::App& app, Action& action);

/// A subcommand whose help reads: description, `usage` ("[MODEL] PROMPT"), options, `examples`.
CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& usage, const std::string& examples);

}  // namespace tessera::cli
