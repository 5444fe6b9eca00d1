#pragma once
// ModelInfo from what a load has at hand anyway: config, tensor headers, tokenizer.
#include "format/tensor_file.h"
#include "model/config.h"
#include "tessera/tessera.h"
#include "text/tokenizer.h"

namespace tessera {

/// `tokenizer`: nullptr leaves its counts 0. No weights are read. Throws Error(kBadModel) for a text tensor
/// that is missing or of another shape than the config says; a vision or audio path without its projection
/// counts as absent.
ModelInfo model_info(const ModelConfig& config, const TensorStore& store, const Tokenizer* tokenizer);

}  // namespace tessera
