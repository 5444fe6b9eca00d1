#pragma once
// CUDA graphs of steps, by key: what is enqueued once is recorded the second time and replayed from then on.
#include <cstdint>
#include <functional>
#include <map>

#include "backend/cuda/device.h"

namespace tessera::cuda {

class Recorder {
 public:
  explicit Recorder(Device& device) : device_(&device) {}
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Enqueues what `body` enqueues, by replay where it can. The first time it runs as it is: kernels are
  /// loaded and workspaces taken, which a recording must not do.
  void run(uint64_t key, const std::function<void()>& body);
  int64_t recordings() const { return static_cast<int64_t>(graphs_.size()); }

 private:
  struct Graph {
    cudaGraphExec_t exec = nullptr;
    uint64_t used = 0;
  };
  cudaGraphExec_t record(const std::function<void()>& body);
  void make_room();

  Device* device_;
  std::map<uint64_t, Graph> graphs_;
  uint64_t clock_ = 0;
};

}  // namespace tessera::cuda
