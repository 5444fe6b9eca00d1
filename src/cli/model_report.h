#pragma once
// ModelInfo in words and as JSON.
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tessera/tessera.h"

namespace tessera::cli {

std::string model_report(const ModelInfo& info, const MemoryNeed& need);
nlohmann::json model_report_json(const ModelInfo& info, const MemoryNeed& need);

/// "8 x (5 sliding + 1 global)", "3 sliding + 1 global", …
std::string layer_pattern(const std::vector<LayerInfo>& layers);

}  // namespace tessera::cli
