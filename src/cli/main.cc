// The command line: parsing, dispatch, and the one place where a command's errors end.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <clocale>
#include <csignal>
#include <memory>
#include <new>

#include "cli/command.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {
namespace {

class Help : public CLI::Formatter {
 public:
  explicit Help(std::string usage) : usage_(std::move(usage)) { column_width(28); }
  std::string make_usage(const CLI::App*, std::string) const override { return "Usage: " + usage_ + "\n"; }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();  // "N:INT in [1 - 1024]": the values are in the text
    return option->get_type_size() == 0 || type.empty() ? "" : " " + type.substr(0, type.find(':'));
  }
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string text = Formatter::make_help(app, std::move(name), mode);
    for (size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
    if (text.ends_with("\n\n")) text.pop_back();
    return text;
  }

 private:
  std::string usage_;
};

int usage_error(const std::string& message, const std::string& command) {
  write_err(fmt::format("tessera: error: {}\nTry: tessera {}{}--help\n", message, command,
                        command.empty() ? "" : " "));
  return kExitUsage;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app(
      "Tessera: one engine for one model, Gemma 4 Unified. Text, images, sound and video in, text out.");
  Action action;
  app.formatter(std::make_shared<Help>("tessera COMMAND [OPTIONS]"));
  app.set_version_flag("--version", "tessera " TESSERA_VERSION, "print the version and leave");
  app.footer("`tessera COMMAND --help` has the options and examples of each.");
  app.set_help_flag("-h,--help", "print this help and leave");
  app.require_subcommand(0, 1);
  add_run(app, action);
  add_chat(app, action);
  add_serve(app, action);
  add_inspect(app, action);
  add_tokenize(app, action);
  add_render(app, action);
  add_trace(app, action);
  add_bench(app, action);
  add_compare(app, action);
  add_synth(app, action);
  add_quantize(app, action);
  add_convert(app, action);
  add_media_process(app, action);

  const auto command = [&] {
    const auto chosen = app.get_subcommands();
    return chosen.empty() ? std::string() : chosen.front()->get_name();
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    write_out((chosen.empty() ? &app : chosen.front())->help());
    return kExitOk;
  } catch (const CLI::CallForVersion& version) {
    write_out(fmt::format("{}\n", version.what()));
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what(), command());
  }
  if (!action) return usage_error("no command; for example: tessera run \"Why is the sky blue?\"", "");
  try {
    return action();
  } catch (const UsageError& error) {
    return usage_error(error.what(), command());
  }
}

}  // namespace

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& usage, const std::string& examples) {
  CLI::App* command = app.add_subcommand(name, description);
  command->formatter(
      std::make_shared<Help>(fmt::format("tessera {} [OPTIONS]{}{}", name, usage.empty() ? "" : " ", usage)));
  command->group("Commands");
  command->footer("Examples:\n" + examples);
  return *command;
}

}  // namespace tessera::cli

int main(int argc, char** argv) {
  using namespace tessera;
  // A closed pipe and a limit on file sizes are errors of write(), see write_out; a UTF-8 locale is what line
  // editing needs.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  try {
    return cli::parse_and_run(argc, argv);
  } catch (const cli::OutputClosed&) {
    return cli::kExitOk;
  } catch (const std::bad_alloc&) {
    cli::write_err("tessera: error: out of memory; a smaller --ctx or fewer media need less\n");
  } catch (const std::exception& error) {
    cli::write_err(fmt::format("tessera: error: {}\n", error.what()));
  }
  return cli::kExitError;
}
