#pragma once
// The size an image is given before it is cut into patches.

namespace tessera {

inline constexpr int kPatchSide = 48;  // pixels

/// Both sides are multiples of kPatchSide.
struct TargetSize {
  int width = 0, height = 0;  // pixels

  int cols() const { return width / kPatchSide; }
  int rows() const { return height / kPatchSide; }
  int soft_tokens() const { return cols() * rows(); }
};

/// Throws Error(kBadRequest) unless `budget` (soft tokens of one image) is 70, 140, 280, 560 or 1120.
void check_budget(int budget);

/// The largest size of about the image's shape whose patches fit the budget; small images grow. Double
/// precision as in the reference: the floor of each side depends on it. Throws kBadRequest for another budget
/// or a side < 1.
TargetSize target_size(int width, int height, int budget);

}  // namespace tessera
