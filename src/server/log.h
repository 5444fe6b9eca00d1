#pragma once
// Structured logs: one line an event, text or JSON. What prompts and answers say is never part of one unless
// the server was started with --log-prompts.
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "server/json.h"

namespace tessera::server {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

/// Any thread. A line is written with one write(), so that lines of several processes do not mix.
class Log {
 public:
  /// `path` "": standard error; else appended to. Throws Error(kIo).
  Log(LogLevel level, bool as_json, const std::string& path);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// `fields`: an object; printed as name=value in text.
  void write(LogLevel level, std::string_view event, const Json& fields = Json::object());
  /// As write(), of what prompts and answers say: it is not among recent().
  void write_private(LogLevel level, std::string_view event, const Json& fields);
  bool shows(LogLevel level) const { return level <= level_; }
  /// The last kRecentLines lines, oldest first.
  std::string recent() const;
  static constexpr size_t kRecentLines = 400;

 private:
  std::string line_of(LogLevel level, std::string_view event, const Json& fields) const;
  void put(const std::string& line) const;

  const LogLevel level_;
  const bool as_json_;
  int fd_ = 2;
  mutable std::mutex mutex_;
  std::deque<std::string> recent_;
};

}  // namespace tessera::server
