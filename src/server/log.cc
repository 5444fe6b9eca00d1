#include "server/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "server/reply_parts.h"

namespace tessera::server {
namespace {

constexpr const char* kLevels[] = {"error", "warning", "info", "debug"};

}  // namespace

Log::Log(LogLevel level, bool as_json, const std::string& path) : level_(level), as_json_(as_json) {
  if (path.empty()) return;
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd_ < 0)
    throw_error(ErrorKind::kIo, "{}: cannot be opened for the log: {}", path, std::strerror(errno));
}

Log::~Log() {
  if (fd_ > 2) ::close(fd_);
}

void Log::write(LogLevel level, std::string_view event, const Json& fields) {
  if (!shows(level)) return;
  std::string line = line_of(level, event, fields);
  put(line);
  const std::lock_guard lock(mutex_);
  if (recent_.size() == kRecentLines) recent_.pop_front();
  recent_.push_back(std::move(line));
}

void Log::write_private(LogLevel level, std::string_view event, const Json& fields) {
  if (shows(level)) put(line_of(level, event, fields));
}

std::string Log::recent() const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const std::string& line : recent_) all += line;
  return all;
}

std::string Log::line_of(LogLevel level, std::string_view event, const Json& fields) const {
  const std::string time = iso_time().substr(0, 23) + "Z";
  const char* name = kLevels[static_cast<int>(level)];
  std::string line;
  if (as_json_) {
    Json object = {{"time", time}, {"level", name}, {"event", event}};
    object.update(fields);
    line = dump(object);
  } else {
    line = fmt::format("{} {} {}", time, name, event);
    for (const auto& [key, value] : fields.items()) {
      const bool plain = value.is_string() &&
                         value.get_ref<const std::string&>().find_first_of(" \"=\n\\") == std::string::npos;
      line += fmt::format(" {}={}", key, plain ? value.get<std::string>() : dump(value));
    }
  }
  // A client's path may hold anything: nothing in a log may move a terminal's cursor or begin a new line.
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return line + '\n';
}

void Log::put(const std::string& line) const {
  size_t at = 0;
  while (at < line.size()) {
    const ssize_t n = ::write(fd_, line.data() + at, line.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // there is nowhere to say so
    at += static_cast<size_t>(n);
  }
}

}  // namespace tessera::server
