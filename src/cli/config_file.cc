#include "cli/config_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>

#include "cli/terminal.h"

namespace tessera::cli {
namespace {

std::string text_of(const toml::node& value, const std::string& where) {
  if (const auto* text = value.as_string()) return text->get();
  if (const auto* number = value.as_integer()) return fmt::format("{}", number->get());
  if (const auto* number = value.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = value.as_boolean()) return flag->get() ? "true" : "false";
  throw UsageError(where + ": expected a text, a number, true or false, or a list of these");
}

}  // namespace

void apply_config_file(CLI::App& command, const std::string& path) {
  toml::table file;
  try {
    file = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    throw UsageError(fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  for (const auto& [key, value] : file) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '_', '-');
    const std::string where = fmt::format("{}:{}: {}", path, key.source().begin.line, name);
    CLI::Option* option =
        name == "config" || name == "help" ? nullptr : command.get_option_no_throw("--" + name);
    if (option == nullptr) throw UsageError(where + ": there is no such option");
    if (option->count() > 0) continue;
    try {
      if (const toml::array* list = value.as_array()) {
        for (const auto& entry : *list) option->add_result(text_of(entry, where));
      } else {
        const std::string text = text_of(value, where);
        // What a flag on the command line leaves behind is the word true; false is not being there.
        if (option->get_type_size() != 0 || text == "true") option->add_result(text);
      }
      if (option->count() > 0) option->run_callback();
    } catch (const CLI::ParseError& error) {
      throw UsageError(fmt::format("{}: {}", where, error.what()));
    }
  }
}

}  // namespace tessera::cli
