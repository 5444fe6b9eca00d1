#pragma once
// Copies of 16 bytes to shared memory that run beside the kernel (cp.async), past the first-level cache.
#include <cstdint>

namespace tessera::cuda {

__device__ __forceinline__ void copy_16(uint32_t to_shared, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to_shared), "l"(from));
}
// The same, for memory that is read in one stream: the second-level cache fetches 128 bytes at once.
__device__ __forceinline__ void copy_16_of_stream(uint32_t to_shared, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to_shared), "l"(from));
}
// Zeros where there is nothing to copy; `from` is not read then.
__device__ __forceinline__ void copy_16_or_zeros(uint32_t to_shared, const void* from, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to_shared), "l"(from),
               "r"(exists ? 16 : 0));
}
__device__ __forceinline__ void copies_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most kPending groups of this thread are under way.
template <int kPending>
__device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace tessera::cuda
