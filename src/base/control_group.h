#pragma once
// Limits of the control groups (version 2, and 1 where it is mounted in the usual places) that this process
// is in: the smallest of its group and those above it. `root`: "" or, for tests, a folder with sys/ and
// proc/.
#include <cstdint>
#include <string>

namespace tessera {

/// Bytes that may still be taken before the limit: limit - used + file pages that can be dropped. -1: no
/// limit.
int64_t control_group_available_bytes(const std::string& root = "");

/// Processors' worth of time: 1.5 for 150 of every 100 ms. 0: no limit.
double control_group_cpus(const std::string& root = "");

}  // namespace tessera
