#pragma once
// x of integer products: 128 inputs of a row have a scale, each input two int8 digits:
// x ≈ scale * (128 h + l), |128 h + l| ≤ 16319, so half a step is 2^-15 of the largest of the 128.
//
// A row is records of 256 inputs (as the chunks of the weights, padded with zeros):
//
//   digits  [h, l][4 × 64 inputs][lane t][2 × 32 inputs][quad] words: B of lane 4g + t of mma.m16n8k32,
//           16 bytes for 64 inputs. Quads and the order in a word: matrix.h.
//   sums    [2 × 128 inputs] DigitSums: for the mins of the weights
#include <cstdint>

#include "backend/cuda/matrix.h"

namespace tessera::cuda {

inline constexpr int kDigitCols = 128;       // inputs with one scale
inline constexpr float kMostDigits = 16319;  // 128 * 127 + 63
inline constexpr float kDigitStep = 1 / kMostDigits;
inline constexpr float kLeastScaled = 1e-30F;  // blocks whose largest input is smaller count as zeros

struct DigitSums {
  float scale;      // of the digits
  float sum_scale;  // sum of 32 inputs ≈ sum_scale * (128 h + l)
  int8_t sum_h[4], sum_l[4];
  float sum_32[4], sum_16[8];  // of what the digits stand for
};
static_assert(sizeof(DigitSums) == 64);

inline constexpr int kRecordBytes = 2 * kChunkCols + kChunkCols / kDigitCols * 64;

/// Bytes of a row's digits.
constexpr int64_t digit_bytes(int64_t stride) {
  return stride / kChunkCols * kRecordBytes;
}

}  // namespace tessera::cuda
