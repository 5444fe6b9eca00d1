#pragma once
// One GPU: its stream, its memory, and errors that say what failed. Everything of backend/cuda enqueues on
// this stream; the host waits in synchronize() only.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

namespace tessera::cuda {

/// Throws Error(kDevice) with the call, the driver's words and what to do. Also for errors of earlier
/// kernels.
void check(cudaError_t status, const char* what);
/// After a launch: its configuration was valid.
inline void check_launch(const char* kernel) {
  check(cudaGetLastError(), kernel);
}

/// Of tests: the `calls`th check() from now on (1: the next) sees `status` instead of success.
void fail_call(int64_t calls, cudaError_t status);

/// Why no GPU can be used ("no NVIDIA driver", "driver 470 is older than CUDA 13 needs"), or "".
std::string why_no_gpu();

class Device {
 public:
  /// `index` as the driver counts. Throws Error(kDevice).
  explicit Device(int index);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Makes the card the calling thread's: what follows on the stream may be a launch.
  cudaStream_t stream() const {
    use();
    return stream_;
  }
  void use() const noexcept;
  int index() const { return index_; }
  /// Bytes of shared memory that a block may have.
  int shared_limit() const { return shared_limit_; }
  void limit_shared(int bytes) { shared_limit_ = bytes; }
  int multiprocessors() const { return multiprocessors_; }
  int capability() const { return capability_; }  // 90 for 9.0
  const std::string& name() const { return name_; }
  int64_t free_bytes() const;
  int64_t total_bytes() const;

  /// Device memory, 256-byte aligned; zeroed on the stream when asked. Freed with the handle, which must not
  /// outlive the device. Throws Error(kDevice) with the arithmetic when the card is full.
  std::shared_ptr<void> allocate(int64_t bytes, bool zeroed = true);
  /// Page-locked host memory, readable by the card.
  std::shared_ptr<void> allocate_pinned(int64_t bytes);
  void synchronize();

 private:
  int index_ = 0, multiprocessors_ = 0, capability_ = 0, shared_limit_ = 0;
  std::string name_;
  cudaStream_t stream_ = nullptr;
};

}  // namespace tessera::cuda
