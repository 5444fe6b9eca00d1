#include "base/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/control_group.h"

namespace tessera {
namespace {

int64_t meminfo_bytes(const std::string& root, const std::string& wanted) {
  std::ifstream info(root + "/proc/meminfo");
  std::string key, unit;
  for (int64_t kib = 0; info >> key >> kib; std::getline(info, unit))
    if (key == wanted) return kib * 1024;
  return 0;
}

}  // namespace

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

int cpu_cores() {
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

int64_t memory_bytes() {
  return meminfo_bytes("", "MemTotal:");
}

int64_t available_memory_bytes(const std::string& root) {
  const int64_t machine = meminfo_bytes(root, "MemAvailable:"), group = control_group_available_bytes(root);
  return group < 0 ? machine : machine == 0 ? group : std::min(machine, group);
}

int64_t last_level_cache_bytes() {
  int64_t bytes = 0;
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE})
    bytes = std::max<int64_t>(bytes, sysconf(level));
  return bytes;
}

int64_t peak_rss_bytes() {
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{usage.ru_maxrss} * 1024 : 0;
}

}  // namespace tessera
