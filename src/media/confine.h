#pragma once
// What a process gives up before it decodes a stranger's file.
#include <cstdint>
#include <string>

namespace tessera {

struct Confinement {
  int64_t memory_bytes = 0;  // more than it has already
  int64_t output_bytes = 0;  // of any file that it writes
  int cpu_s = 0;
};

/// For good: this process may compute, take and return memory, write to descriptors that are open and end;
/// every other system call fails with EPERM. It cannot be traced and leaves no core file. Only for a process
/// without other threads. Throws Error(kIo).
void confine(const Confinement& confinement);

/// Tries what confine() forbids, in ways that do nothing where they are allowed; the names of what the filter
/// let through, "" for nothing.
std::string escapes();

}  // namespace tessera
