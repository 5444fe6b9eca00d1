#pragma once
// The tensors a checkpoint of this geometry must have: canonical name and shape. One list serves the binder
// (which checks a file against it), the parameter count of inspect, and synth (which writes it).
#include <cstdint>
#include <string>
#include <vector>

#include "format/tensor_file.h"
#include "model/config.h"

namespace tessera {

enum class TensorBlock {
  kEmbedding,
  kLayer,
  kFinalNorm,
  kVision,
  kVisionProjection,
  kAudioProjection,
  kDrafter
};

struct ExpectedTensor {
  std::string name;            // canonical
  std::vector<int64_t> shape;  // as published: linear weights are [out, in]
  TensorBlock block;
  int layer = -1;
  bool optional = false;  // v_proj of a layer: its presence decides whether V is K
};

/// In the published file's order of blocks. v_proj of a full layer is listed only when !v_is_k.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

/// What the published checkpoint calls a tensor: a drafter's text model has no "language_model." before it.
std::string published_name(const ModelConfig& config, const std::string& canonical);

/// The config as the tensors have it, whatever it says itself: a layer with a v_proj uses it, a full layer
/// without one has V = K (sliding layers of this model always have one); a vision or audio path whose
/// projection is not there is absent.
ModelConfig as_stored(ModelConfig config, const TensorStore& store);

}  // namespace tessera
