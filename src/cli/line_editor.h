#pragma once
// Lines from a person (libedit: editing, history, pasted lines) or from a pipe (plain lines).
#include <memory>
#include <string>

#include "cli/interrupt.h"

namespace tessera::cli {

enum class LineResult { kLine, kInterrupted, kEnd };

/// Line ends inside one paste stay in the line. The history is kept in $XDG_STATE_HOME/tessera/history (by
/// default
/// ~/.local/state/tessera/history); failing to keep it is silent.
class LineEditor {
 public:
  /// `interrupts` may be null when stdin is no terminal.
  explicit LineEditor(InterruptPipe* interrupts);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// `prompt` is shown on a terminal only. kInterrupted: Ctrl-C, the line is dropped. kEnd: Ctrl-D or end of
  /// file.
  LineResult read(const std::string& prompt, std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::cli
