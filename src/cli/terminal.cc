#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace tessera::cli {
namespace {

constexpr int kBarCells = 24;
constexpr auto kQuietTime = std::chrono::milliseconds(200);
constexpr auto kRedrawTime = std::chrono::milliseconds(60);

/// Returns 0 or errno.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

}  // namespace

bool stdin_is_terminal() {
  return ::isatty(STDIN_FILENO) == 1;
}
bool stdout_is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}
bool stderr_is_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}

bool stderr_has_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  const char* term = std::getenv("TERM");
  return stderr_is_terminal() && term != nullptr && std::strcmp(term, "dumb") != 0;
}

void write_out(std::string_view text) {
  const int error = write_all(STDOUT_FILENO, text);
  if (error == EPIPE) throw OutputClosed{};
  if (error != 0) throw_error(ErrorKind::kIo, "cannot write to standard output: {}", std::strerror(error));
}

void write_err(std::string_view text) {
  write_all(STDERR_FILENO, text);
}

std::string dim(std::string_view text) {
  return stderr_has_colour() ? fmt::format("\x1b[2m{}\x1b[0m", text) : std::string(text);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c0 = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
    // C1 controls are U+0080 … U+009F: two bytes, 0xC2 0x80 … 0xC2 0x9F.
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c0 || c1) {
      out += "\uFFFD";
      i += c1 ? 1 : 0;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string read_stdin(int64_t max_bytes) {
  std::string text;
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_error(ErrorKind::kIo, "cannot read standard input: {}", std::strerror(errno));
    if (got == 0) return text;
    if (static_cast<int64_t>(text.size()) + got > max_bytes) {
      throw_error(ErrorKind::kTooLarge, "standard input is over {} bytes, the limit here", max_bytes);
    }
    text.append(block, static_cast<size_t>(got));
  }
}

std::string grouped(int64_t value) {
  std::string digits = std::to_string(value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string short_count(int64_t value) {
  if (value < 10'000) return grouped(value);
  const auto number = static_cast<double>(value);
  if (value < 1'000'000) return fmt::format("{:.1f} k", number / 1e3);
  if (value < 1'000'000'000) return fmt::format("{:.1f} M", number / 1e6);
  return fmt::format("{:.2f} B", number / 1e9);
}

std::string short_bytes(int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes < 1'000) return fmt::format("{} B", bytes);
  if (bytes < 1'000'000) return fmt::format("{:.1f} kB", number / 1e3);
  if (bytes < 1'000'000'000) return fmt::format("{:.1f} MB", number / 1e6);
  return fmt::format("{:.2f} GB", number / 1e9);
}

Progress::Progress(std::string label) : label_(std::move(label)) {}

void Progress::update(double fraction, std::string_view detail) {
  const auto now = Clock::now();
  if (now - started_ < kQuietTime || now - drawn_ < kRedrawTime || !stderr_has_colour()) return;
  drawn_ = now;
  visible_ = true;
  const int full = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * kBarCells));
  std::string bar;
  for (int i = 0; i < kBarCells; ++i) bar += i < full ? "━" : "┄";
  write_err(fmt::format("\r\x1b[K{} {}{}{}", label_, bar, detail.empty() ? "" : " ", detail));
}

void Progress::clear() {
  if (visible_) write_err("\r\x1b[K");
  visible_ = false;
}

}  // namespace tessera::cli
