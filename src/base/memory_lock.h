#pragma once
// Memory that must not be swapped out or dropped.
#include <cstdint>

namespace tessera {

/// Takes all of [data, data + bytes) and keeps it in memory until it is unmapped. Throws Error(kTooLarge)
/// with the limit of this process and how to raise it.
void lock_memory(const void* data, int64_t bytes);

}  // namespace tessera
