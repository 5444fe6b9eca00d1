// The /commands of `tessera chat`.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/chat.h"
#include "cli/reply_printer.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

constexpr const char* kHelp =
    "  /image FILE   attach a picture to the next message; /audio FILE and /video FILE likewise\n"
    "                (a file dropped on the terminal, or its name in the message, does the same)\n"
    "  /think on     let the model think before it answers; /think off\n"
    "  /system TEXT  what the model should be or keep to; alone: show it; /system - removes it\n"
    "  /clear        start over, with the same system text\n"
    "  /save FILE    keep the conversation, media included; /load FILE brings it back\n"
    "  /stats        tokens and speed of the last answer, and how full the context is\n"
    "  /bye          leave (Ctrl-D too)\n"
    "  \"\"\"           begins and ends a message of many lines\n"
    "  Ctrl-C        stops an answer, or drops the line being typed\n";

/// "  a b " -> "a b"
std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

/// A file name as a person types it after a command: quotes around it and back-slashes before blanks are
/// taken off.
std::string file_argument(std::string text) {
  if (text.empty()) throw_error(ErrorKind::kBadRequest, "which file? Write its name after the command");
  const char quote = text.front();
  if (text.size() >= 2 && (quote == '\'' || quote == '"') && text.back() == quote) {
    return text.substr(1, text.size() - 2);
  }
  for (size_t at = text.find("\\ "); at != std::string::npos; at = text.find("\\ ", at + 1))
    text.erase(at, 1);
  return text;
}

}  // namespace

bool Chat::take_command(const std::string& line) {
  const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
  const std::string command = line.substr(0, end), argument = trimmed(line.substr(end));

  if (command == "/bye" || command == "/exit" || command == "/quit") return false;
  if (command == "/help" || command == "/?") {
    write_out(kHelp);
  } else if (command == "/image") {
    attach(file_argument(argument), MediaKind::kImage);
  } else if (command == "/audio") {
    attach(file_argument(argument), MediaKind::kAudio);
  } else if (command == "/video") {
    attach(file_argument(argument), MediaKind::kVideo);
  } else if (command == "/think") {
    if (argument != "on" && argument != "off") {
      throw_error(ErrorKind::kBadRequest, "/think is on or off, not \"{}\"; now it is {}", argument,
                  conversation_.think ? "on" : "off");
    }
    conversation_.think = argument == "on";
    note(fmt::format("thinking is {}", argument));
  } else if (command == "/system") {
    if (!argument.empty()) conversation_.system = argument == "-" ? "" : argument;
    note(conversation_.system.empty() ? "no system text" : "system: " + conversation_.system);
  } else if (command == "/clear") {
    conversation_.turns.clear();
    pending_.clear();
    session_.clear();
    last_usage_ = {};
    note("a new conversation");
  } else if (command == "/save") {
    const std::string file = file_argument(argument);
    conversation_.save(file);
    note(fmt::format("{} turns saved in {}", conversation_.turns.size(), file));
  } else if (command == "/load") {
    conversation_ = Conversation::load(file_argument(argument), media_);
    pending_.clear();
    last_usage_ = {};
    note(fmt::format("{} turns loaded", conversation_.turns.size()));
  } else if (command == "/stats") {
    print_stats();
  } else {
    throw_error(ErrorKind::kBadRequest, "there is no {}; /help lists the commands", command);
  }
  return true;
}

void Chat::print_stats() const {
  std::string text;
  if (last_usage_.prompt_tokens > 0) text = describe(last_usage_) + " · ";
  note(fmt::format("{}{} of {} tokens of context used", text, grouped(session_.tokens()),
                   grouped(engine_->options().context_tokens)));
}

}  // namespace tessera::cli
