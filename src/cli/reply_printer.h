#pragma once
// An answer as it comes: the text on stdout, thought and progress on stderr.
#include <string>

#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {

/// Thoughts go to stderr, grey on a terminal, so that stdout holds the answer alone.
class ReplyPrinter {
 public:
  void on_event(const Event& event);
  /// Ends the line and, on stderr, says why the answer ended when that is not the model's own end.
  void finish(const Reply& reply, int max_tokens);
  /// Removes the progress bar, for an error message in its place.
  void clear() { prefill_.clear(); }

 private:
  void print_thought(const std::string& text);
  void end_thought();
  void print_text(const std::string& text);

  Progress prefill_{"reading"};
  bool thinking_ = false, thought_ends_line_ = true, text_ends_line_ = true;
};

/// "266 tokens read (12 from cache), 120.3/s · 34 tokens written, 12.3/s"
std::string describe(const Usage& usage);

}  // namespace tessera::cli
