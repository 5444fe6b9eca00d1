#pragma once
// The state of `tessera chat` and its /commands.
#include <memory>
#include <string>
#include <vector>

#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "tessera/tessera.h"

namespace tessera::cli {

class Chat {
 public:
  /// `interrupts`: Ctrl-C stops the answer; null: it ends the program.
  Chat(std::shared_ptr<Engine> engine, GenerateOptions options, MediaFlags media, InterruptPipe* interrupts);

  /// One line or one """ block from the person: a command, files, or a message to answer. Errors of a request
  /// are shown and leave the conversation as it was. False: the person wants to leave.
  bool take(const std::string& input);

  Conversation& conversation() { return conversation_; }
  void set_show_stats(bool show) { show_stats_ = show; }
  /// Was the last answer an error? The exit code of a chat from a pipe.
  bool failed() const { return failed_; }

 private:
  bool take_command(const std::string& line);  // chat_commands.cc; as take()
  void attach(const std::string& path, MediaKind kind);
  void answer(std::string text);
  void print_stats() const;
  /// On stderr, grey on a terminal.
  static void note(const std::string& text);

  std::shared_ptr<Engine> engine_;
  GenerateOptions options_;
  MediaFlags media_;
  InterruptPipe* interrupts_;  // null: Ctrl-C ends the program
  Session session_;
  Conversation conversation_;
  std::vector<Attachment> pending_;  // go with the next message
  Usage last_usage_;
  bool show_stats_ = false, failed_ = false;
};

}  // namespace tessera::cli
