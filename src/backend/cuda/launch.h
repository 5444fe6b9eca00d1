#pragma once
// Launches with programmatic dependence: a kernel may start while the one before it in the stream still runs,
// so that what does not depend on it (weights) is fetched early. For .cu files.
//
// Rules for a kernel that is started by launch(): every thread calls depend_wait() before it reads or writes
// anything that another kernel writes or reads (then all earlier work of the stream is complete and visible),
// also in blocks that have nothing to do: a block that ends without waiting would let the next kernel pass
// its own wait too early. Before it may come reads of weights, of the plan (ops.h) and of what earlier steps
// left in the KV cache: their writers end before the step's first kernel starts. depend_release() lets the
// next kernel start; call it first.
#include <cuda_runtime.h>

#include <utility>

#include "backend/cuda/device.h"

namespace tessera::cuda {

__device__ __forceinline__ void depend_release() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

__device__ __forceinline__ void depend_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// `shared_bytes`: dynamic shared memory. Capturable.
template <typename... Params, typename... Args>
void launch(const Device& device, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
            Args&&... args) {
  device.use();
  if (shared_bytes > 48 * 1024)  // above this a kernel has to ask; an attribute of the current card
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "shared memory of a kernel");
  cudaLaunchAttribute dependent{};
  dependent.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  dependent.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = device.stream();
  config.attrs = &dependent;
  config.numAttrs = device.capability() >= 90 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...), "a launch");
}

}  // namespace tessera::cuda
