#pragma once
// A step's plan on the card: one copy through page-locked memory into buffers that stay where they are, so
// that a recorded step finds the next plan in the same place.
#include <memory>

#include "backend/cuda/ops.h"
#include "backend/step_plan.h"

namespace tessera::cuda {

class PlanBuffers {
 public:
  explicit PlanBuffers(Device& device) : device_(&device) {}

  /// Fills the page-locked memory; nothing enqueued before may still read it. Grows when `plan` has more rows
  /// than any before: a copy recorded earlier is void then.
  PlanView stage(const StepPlan& plan);
  /// Enqueues the copy of what was staged.
  void upload();

 private:
  Device* device_;
  std::shared_ptr<void> host_, card_;
  int64_t capacity_ = 0;  // rows; each array has this many entries
};

}  // namespace tessera::cuda
