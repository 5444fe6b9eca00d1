#pragma once
// A group of backends on the host: sums in memory, with a barrier on both sides.
#include <barrier>
#include <memory>
#include <vector>

#include "backend/group_backend.h"
#include "base/error.h"

namespace tessera::test {

class HostSums final : public RankSums {
 public:
  explicit HostSums(int ranks) : barrier_(ranks), of_(static_cast<size_t>(ranks)) {}

  void add_up(int rank, Tensor y) override {
    of_[static_cast<size_t>(rank)] = y;
    barrier_.arrive_and_wait();
    const auto count = static_cast<size_t>(y.rows * y.cols);
    std::vector<float> sum(count, 0.0F);
    for (const Tensor& t : of_)
      for (size_t i = 0; i < count; ++i) sum[i] += t.f32()[i];
    barrier_.arrive_and_wait();
    std::copy(sum.begin(), sum.end(), y.f32());
  }
  std::string describe() const override { return "sums in host memory"; }

 private:
  std::barrier<> barrier_;
  std::vector<Tensor> of_;
};

}  // namespace tessera::test
