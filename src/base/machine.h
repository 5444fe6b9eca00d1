#pragma once
// What this machine is, as far as Linux says. A figure that is not to be had is 0 or "".
#include <cstdint>
#include <string>

namespace tessera {

std::string cpu_name();  // "AMD EPYC"
int cpu_cores();         // at least 1
int64_t memory_bytes();
int64_t available_memory_bytes();  // what can be taken without swapping
int64_t last_level_cache_bytes();
int64_t peak_rss_bytes();  // of this process, until now

}  // namespace tessera
