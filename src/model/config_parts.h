#pragma once
// The parts of ModelConfig::load: each reads one section of the model's JSON files into `config`.
#include "model/config.h"
#include "model/json_fields.h"

namespace tessera {

/// config.json's text_config (or the whole of a text-only file): geometry, layers, rope, and a refusal of
/// every feature of sibling models that this engine does not compute. Throws Error(kBadModel).
void read_text_config(const JsonFields& text, ModelConfig& config);

/// "quantization" / "quantization_config" at the top of config.json. Throws Error(kBadModel) for modes other
/// than affine.
void read_quantization(const JsonFields& top, ModelConfig& config);

}  // namespace tessera
