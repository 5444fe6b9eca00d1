#include "media/target_size.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/error.h"

namespace tessera {

void check_budget(int budget) {
  for (int known : {70, 140, 280, 560, 1120}) {
    if (budget == known) return;
  }
  throw_error(ErrorKind::kBadRequest, "soft token budget {} is unknown; use 70, 140, 280, 560 or 1120",
              budget);
}

TargetSize target_size(int width, int height, int budget) {
  check_budget(budget);
  if (width < 1 || height < 1) {
    throw_error(ErrorKind::kBadRequest, "an image of {}x{} pixels has no target size", width, height);
  }
  const double w = width, h = height;
  const int64_t target_pixels = int64_t{budget} * kPatchSide * kPatchSide;
  const double factor = std::sqrt(static_cast<double>(target_pixels) / (h * w));
  const double max_side = budget * kPatchSide;
  double target_h = std::floor(factor * h / kPatchSide) * kPatchSide;
  double target_w = std::floor(factor * w / kPatchSide) * kPatchSide;
  if (target_h == 0) {
    target_h = kPatchSide;
    target_w = std::min(std::floor(w / h) * kPatchSide, max_side);
  } else if (target_w == 0) {
    target_w = kPatchSide;
    target_h = std::min(std::floor(h / w) * kPatchSide, max_side);
  }
  const TargetSize size{static_cast<int>(target_w), static_cast<int>(target_h)};
  TS_CHECK(size.soft_tokens() >= 1 && size.soft_tokens() <= budget, "{}x{} at budget {} became {}x{}", width,
           height, budget, size.width, size.height);
  return size;
}

}  // namespace tessera
