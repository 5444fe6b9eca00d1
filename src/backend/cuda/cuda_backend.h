#pragma once
// One card as a backend.
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/device.h"

namespace tessera::cuda {

struct Card {
  std::unique_ptr<Backend> backend;
  Device* device;  // the backend's
};
/// On options.device. Throws Error(kDevice).
Card make_card(const CudaOptions& options);

}  // namespace tessera::cuda
