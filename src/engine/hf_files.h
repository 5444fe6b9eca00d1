#pragma once
// The JSON files of a Hugging Face directory, made from a config: for models that come from GGUF and
// synthetic ones.
#include <string>

#include "model/config.h"

namespace tessera {

std::string config_json_of(const ModelConfig& config);
std::string generation_json_of(const ModelConfig& config);

}  // namespace tessera
