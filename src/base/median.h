#pragma once
// The middle of several measurements.
#include <algorithm>
#include <vector>

namespace tessera {

/// Of an even number the mean of the two in the middle. Not of none.
inline double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

}  // namespace tessera
