#pragma once
// Structured logs: one line an event, text or JSON. What prompts and answers say is never part of one unless
// the server was started with --log-prompts.
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
  bool shows(LogLevel level) const { return level <= level_; }

 private:
  const LogLevel level_;
  const bool as_json_;
  int fd_ = 2;
};

}  // namespace tessera::server
