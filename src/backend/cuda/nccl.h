#pragma once
// NCCL, opened when several cards are used: a program built with it starts where it is missing.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera::cuda {

class Nccl {
 public:
  /// Joins the cards; waits. Throws Error(kDevice) when the library is missing or a card cannot be reached.
  explicit Nccl(const std::vector<int>& devices);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  /// y = the sum over all ranks, in place; each rank's thread calls it, in the same order. Enqueues.
  void add_up(int rank, float* y, int64_t count, cudaStream_t stream);
  /// Ends what waits for a rank that will not come, and joins again. Throws Error(kDevice).
  void rejoin();
  /// "NCCL 2.28.9"
  std::string describe() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::cuda
