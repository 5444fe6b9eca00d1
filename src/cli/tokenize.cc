// tessera tokenize: text on stdin to token ids on stdout, and back.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "base/error.h"
#include "cli/command.h"
#include "cli/model_path.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {
namespace {

constexpr int64_t kMaxInputBytes = int64_t{256} << 20;
constexpr std::string_view kSeparators = " \t\r\n,[]";

/// Decimal numbers separated by white space, commas or square brackets. Throws Error(kBadRequest).
std::vector<int32_t> parse_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    int32_t id = 0;
    const auto [stop, failed] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (failed != std::errc() || stop != word.data() + word.size() || id < 0) {
      throw_error(ErrorKind::kBadRequest,
                  "standard input, byte {}: \"{}\" is no token id; ids are whole numbers from 0", at,
                  word.substr(0, 32));
    }
    ids.push_back(id);
    at = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

int tokenize_stdin(const std::string& model, bool as_json, bool decode) {
  const std::string path = resolve_model(model), input = read_stdin(kMaxInputBytes);
  if (decode) {
    write_out(detokenize(path, parse_ids(input)));
  } else {
    const auto ids = tokenize(path, input);
    write_out(as_json ? fmt::format("[{}]\n", fmt::join(ids, ", "))
                      : fmt::format("{}\n", fmt::join(ids, " ")));
  }
  return kExitOk;
}

struct TokenizeFlags {
  std::string model;
  bool as_json = false, decode = false;
};

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "tokenize", "Turn the text on standard input into token ids, on one line, or ids back into text.",
      "[MODEL]",
      "  printf 'Hello world' | tessera tokenize path/to/model\n"
      "  echo 9259 1902 | tessera tokenize path/to/model --decode\n"
      "\nThe text is taken as it is, a last newline too; control tokens in it are parsed; no <bos> is "
      "added.\n");
  auto flags = std::make_shared<TokenizeFlags>();
  command.add_option("MODEL", flags->model, "model directory or .gguf file; only the tokenizer is read")
      ->type_name("");
  add_model_flag(command, flags->model);
  auto* as_json = command.add_flag("--json", flags->as_json, "print a JSON array");
  command.add_flag("--decode", flags->decode, "read ids, print text")->excludes(as_json);
  command.callback([flags, &action] {
    action = [flags] { return tokenize_stdin(flags->model, flags->as_json, flags->decode); };
  });
}

}  // namespace tessera::cli
