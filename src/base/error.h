#pragma once
// Errors and checks. Error (tessera.h) is for what ends a load or a request; TS_CHECK is for our own bugs.
#include <fmt/format.h>

#include <utility>

#include "tessera/tessera.h"

namespace tessera {

/// throw_error(ErrorKind::kBadModel, "{}: …", path)
template <typename... Args>
[[noreturn]] void throw_error(ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(kind, fmt::format(text, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace tessera

/// States an invariant of ours; never reachable by input. Prints the invariant and aborts.
#define TS_CHECK(condition, ...)                                                         \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::tessera::check_failed(__FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__)); \
  } while (false)
