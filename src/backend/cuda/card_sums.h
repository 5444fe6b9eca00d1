#pragma once
// Sums over the cards of a group: few rows by the cards themselves where they reach each other's memory, the
// rest by NCCL.
#include <memory>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/group_backend.h"

namespace tessera::cuda {

/// `devices`: by rank; they must outlive it. `peers`: false leaves everything to NCCL (to measure it). Throws
/// Error(kDevice).
std::unique_ptr<RankSums> make_card_sums(std::vector<Device*> devices, bool peers = true);

}  // namespace tessera::cuda
