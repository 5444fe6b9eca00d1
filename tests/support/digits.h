#pragma once
// The digits of x as a card must make them (backend/cuda/digits.h), computed on the host.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/cuda/digits.h"
#include "support/quant_matrix.h"

namespace tessera {

using cuda::kMostDigits;

/// Records of the rows of x, padded to `stride` inputs.
inline std::vector<uint8_t> digit_records(const Values& x, int64_t stride) {
  std::vector<uint8_t> out(static_cast<size_t>(x.rows * cuda::digit_bytes(stride)));
  const auto digits = [](int v, auto& h, auto& l) {
    const int high = static_cast<int>(std::floor((v + 64) / 128.0));
    h = static_cast<int8_t>(high), l = static_cast<int8_t>(v - 128 * high);
  };
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t first = 0; first < stride; first += cuda::kDigitCols) {
      const auto at = [&](int64_t i) {
        return first + i < x.cols ? x.v[static_cast<size_t>(r * x.cols + first + i)] : 0;
      };
      float most = 0;
      for (int64_t i = 0; i < cuda::kDigitCols; ++i) most = std::max(most, std::fabs(at(i)));
      if (most < cuda::kLeastScaled) most = 0;
      const float inverse = most == 0 ? 0 : kMostDigits * (1 / most);
      cuda::DigitSums sums{};
      sums.scale = most * cuda::kDigitStep;
      uint8_t* record = out.data() + r * cuda::digit_bytes(stride) + first / 256 * cuda::kRecordBytes;
      int of_32[4] = {}, of_16[8] = {}, most_sum = 0;
      for (int64_t i = 0; i < cuda::kDigitCols; ++i) {
        const int v = static_cast<int>(std::nearbyint(at(i) * inverse));
        of_32[i / 32] += v, of_16[i / 16] += v;
        // Input k of the record: 64 inputs, lane t, block of 32, quad, byte.
        const int64_t k = first % 256 + i, byte = k % 4 == 1 ? 2 : k % 4 == 2 ? 1 : k % 4;
        uint8_t* to = record + k / 64 * 64 + k / 4 % 4 * 16 + k / 32 % 2 * 8 + k / 16 % 2 * 4 + byte;
        digits(v, reinterpret_cast<int8_t&>(to[0]), reinterpret_cast<int8_t&>(to[256]));
      }
      for (const int sum : of_32) most_sum = std::max(most_sum, std::abs(sum));
      const float sum_inverse = most_sum == 0 ? 0 : kMostDigits * (1 / static_cast<float>(most_sum));
      sums.sum_scale = sums.scale * (static_cast<float>(most_sum) * cuda::kDigitStep);
      for (int i = 0; i < 4; ++i) {
        digits(static_cast<int>(std::nearbyint(static_cast<float>(of_32[i]) * sum_inverse)), sums.sum_h[i],
               sums.sum_l[i]);
        sums.sum_32[i] = sums.scale * static_cast<float>(of_32[i]);
      }
      for (int i = 0; i < 8; ++i) sums.sum_16[i] = sums.scale * static_cast<float>(of_16[i]);
      std::memcpy(record + 512 + first % 256 / 128 * 64, &sums, sizeof(sums));
    }
  return out;
}

/// What the digits of x stand for.
inline Values digit_values(const Values& x) {
  Values out = x;
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t first = 0; first < x.cols; first += cuda::kDigitCols) {
      float* row = out.v.data() + r * x.cols;
      const int64_t end = std::min<int64_t>(first + cuda::kDigitCols, x.cols);
      float most = 0;
      for (int64_t k = first; k < end; ++k) most = std::max(most, std::fabs(row[k]));
      const bool none = most < cuda::kLeastScaled;
      for (int64_t k = first; k < end; ++k)
        row[k] = none ? 0 : std::nearbyint(row[k] * (kMostDigits * (1 / most))) * (most * cuda::kDigitStep);
    }
  return out;
}

inline double largest(const Values& x) {
  double most = 0;
  for (const float f : x.v) most = std::max(most, std::fabs(double{f}));
  return most;
}

inline double mean_size(const Values& x) {
  double sum = 0;
  for (const float f : x.v) sum += std::fabs(double{f});
  return sum / static_cast<double>(x.v.size());
}

}  // namespace tessera
