#pragma once
// Weights on their way from the file to the card: rows are read by all cores into one of two pinned buffers
// while the other is copied; the card brings them into their layout.
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/matrix.h"
#include "base/thread_pool.h"

namespace tessera::cuda {

class Uploader {
 public:
  explicit Uploader(Device& device) : device_(device) {}
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  std::unique_ptr<Matrix> pack(const WeightSource& source);

 private:
  struct Run;  // rows of a matrix that share a format
  void upload(const WeightSource& source, const Run& run, Segment& segment, int64_t stride);
  void reserve(int64_t bytes);

  Device& device_;
  ThreadPool pool_;
  std::shared_ptr<void> pinned_[2], staging_;
  cudaEvent_t copied_[2] = {};  // the pinned buffer may be written again
  int64_t bytes_ = 0;           // of each buffer
};

/// The form in which a quantised part is computed on.
Form form_of(const QuantLayout& layout);

}  // namespace tessera::cuda
