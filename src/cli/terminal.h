#pragma once
// Standard streams: what is a terminal, colour, a progress bar, and writes that never end the process by a
// signal.
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tessera::cli {

/// The command line is not one that can be carried out; main prints it with a hint and returns kExitUsage.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The reader of standard output is gone (`tessera … | head -1`): stop quietly.
struct OutputClosed {};

constexpr int kExitOk = 0, kExitError = 1, kExitUsage = 2, kExitInterrupted = 130;

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

/// Colour and cursor movement on stderr: a terminal, NO_COLOR unset or empty, TERM not "dumb".
bool stderr_has_colour();

/// Writes at once. Throws OutputClosed when the reader is gone, Error(kIo) for a full disk and the like.
void write_out(std::string_view text);
/// Writes at once; failures are ignored, there is nowhere left to report them.
void write_err(std::string_view text);

/// `text` in grey on a stderr with colour, unchanged elsewhere.
std::string dim(std::string_view text);

/// What a model wrote, for a terminal: control characters other than newline and tab become U+FFFD, so that
/// no answer can move the cursor, retitle the window or worse.
std::string printable(std::string_view text);

/// All of standard input. Throws Error(kIo); Error(kTooLarge) above `max_bytes`.
std::string read_stdin(int64_t max_bytes);

/// 1234567 -> "1,234,567"
std::string grouped(int64_t value);
/// 35393280 -> "35.4 M"; below 10,000 the number itself.
std::string short_count(int64_t value);
/// 23919460448 -> "23.92 GB" (powers of ten)
std::string short_bytes(int64_t bytes);

/// One line on stderr, redrawn in place and removed at the end. Nothing is drawn when stderr is not a
/// terminal, or during the first 200 ms, so that quick work leaves no flicker.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `fraction`: 0 … 1. `detail` is printed behind the bar.
  void update(double fraction, std::string_view detail = {});
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  Clock::time_point started_ = Clock::now(), drawn_{};
  bool visible_ = false;
};

}  // namespace tessera::cli
