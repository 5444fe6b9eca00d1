#include "base/memory_lock.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace tessera {

void lock_memory(const void* data, int64_t bytes) {
  if (bytes <= 0 || mlock(data, static_cast<size_t>(bytes)) == 0) return;
  const int reason = errno;
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string most = limit.rlim_cur == RLIM_INFINITY ? std::string("unlimited")
                                                           : fmt::format("{} KiB", limit.rlim_cur >> 10);
  throw_error(
      ErrorKind::kTooLarge,
      "{} more KiB cannot be locked in memory: {}; this process may lock (RLIMIT_MEMLOCK): {}. Raise it with "
      "\"ulimit -l unlimited\", memlock in limits.conf or LimitMEMLOCK=infinity of a systemd unit, or do "
      "without "
      "--mlock",
      bytes >> 10, std::strerror(reason), most);
}

}  // namespace tessera
