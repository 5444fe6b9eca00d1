#pragma once
#include <cmath>
#include <vector>

namespace tessera::test {

/// |a - b| / |b|.
inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(error / norm);
}

}  // namespace tessera::test
