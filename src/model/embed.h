#pragma once
// Patches and frames → rows of the decoder. No encoder: one normalised linear step each.
#include <cstdint>
#include <memory>
#include <span>

#include "model/model.h"

namespace tessera {

/// Projected soft tokens, [rows, hidden] f32, in backend memory that lives with the handle. Not scaled.
struct MediaRows {
  std::shared_ptr<void> memory;
  Tensor rows;
};

/// `patches`: [cols * rows, 6912] in [0, 1], row-major over the grid of `cols` columns.
/// Throws Error(kBadModel) when the model has no vision path.
MediaRows embed_patches(Backend& be, const Model& m, std::span<const float> patches, int cols);

/// `frames`: [n, samples_per_token] in [-1, 1]. Throws Error(kBadModel) when the model has no audio path.
MediaRows embed_frames(Backend& be, const Model& m, std::span<const float> frames);

}  // namespace tessera
