#pragma once
// What this machine is, as far as Linux says. A figure that is not to be had is 0 or "".
#include <cstdint>
#include <string>

namespace tessera {

std::string cpu_name();  // "AMD EPYC"
int cpu_cores();         // hardware threads; at least 1
int64_t memory_bytes();
/// What can be taken without swapping, of the machine and of this process's control group. `root`: "" or, for
/// tests, a folder with sys/ and proc/.
int64_t available_memory_bytes(const std::string& root = "");
int64_t last_level_cache_bytes();
int64_t peak_rss_bytes();  // of this process, until now

}  // namespace tessera
