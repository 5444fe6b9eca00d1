#pragma once
// ModelInfo in words and as JSON.
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tessera/tessera.h"

namespace tessera::cli {

/// `context_tokens` 0: the smaller of the model's maximum and 8,192, as Engine::load takes it.
std::string model_report(const ModelInfo& info, int64_t context_tokens);
nlohmann::json model_report_json(const ModelInfo& info, int64_t context_tokens);

/// "8 x (5 sliding + 1 global)", "3 sliding + 1 global", …
std::string layer_pattern(const std::vector<LayerInfo>& layers);

}  // namespace tessera::cli
