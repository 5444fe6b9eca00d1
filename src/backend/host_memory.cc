#include "backend/host_memory.h"

#include <sys/mman.h>

#include "base/error.h"

namespace tessera {

std::shared_ptr<void> allocate_host(int64_t bytes) {
  const auto size = static_cast<size_t>(bytes > 0 ? bytes : 1);
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    throw_error(ErrorKind::kTooLarge, "out of memory: {} bytes were refused; use a smaller --ctx or model", bytes);
  madvise(p, size, MADV_HUGEPAGE);  // weights stream: fewer page walks; ignored where unsupported
  return {p, [size](void* q) { munmap(q, size); }};
}

}  // namespace tessera
