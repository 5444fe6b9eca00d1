#pragma once
// Zeroed host memory in whole pages, committed when touched.
#include <cstdint>
#include <memory>

namespace tessera {

/// 4 KiB-aligned, zeroed. Throws Error(kTooLarge) with the size when the system refuses.
std::shared_ptr<void> allocate_host(int64_t bytes);

}  // namespace tessera
