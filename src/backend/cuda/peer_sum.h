#pragma once
// Sums over cards that read and write each other's memory, for the few rows of a decode step: each card
// stores its share into every other card's inbox and adds up what has come, in the order of the ranks. A
// value travels with its turn's number in one 8-byte store, so there is no barrier: one trip over the link.
#include "backend/cuda/device.h"
#include "base/tensor.h"

namespace tessera::cuda {

inline constexpr int kPeerRanks = 8, kPeerRows = 8, kPeerVectors = 1024;  // vectors: of 4 floats, of a row

/// Of one card; all memory is zero at first.
struct PeerArgs {
  uint4* to[kPeerRanks] = {};    // the other cards' inboxes
  const uint4* inbox = nullptr;  // [2][rank][kPeerRows][kPeerVectors][2], on this card
  unsigned int* turn = nullptr;  // [kPeerRows] sums of the row so far
  int* failed_here = nullptr;    // on this card: a wait was in vain, none is tried again
  int* failed =
      nullptr;  // in page-locked memory: 1 + the rank that did not answer; the host ends waits by it
  int rank = 0, ranks = 0;
};
inline constexpr int64_t kInboxBytesPerRank = int64_t{2} * kPeerRows * kPeerVectors * 2 * 16;

/// Whether the kernels below take [rows, cols].
constexpr bool has_peer_sum(int64_t rows, int64_t cols) {
  return rows <= kPeerRows && cols % 4 == 0 && cols <= int64_t{4} * kPeerVectors;
}
/// y = the sum of all cards' y, float32.
void peer_sum(const Device& device, const PeerArgs& peers, Tensor y);
/// residual_norm (ops.h) of that sum; y keeps this card's share.
void peer_sum_residual_norm(const Device& device, const PeerArgs& peers, Tensor x, Tensor y,
                            const float* w_post, float scale, Tensor h, const float* w_next, float eps);

}  // namespace tessera::cuda
