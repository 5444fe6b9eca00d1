#pragma once
// Which drafter goes with a model: named, or found beside it.
#include <optional>
#include <string>

#include "engine/memory_plan.h"
#include "engine/model_source.h"
#include "tessera/tessera.h"

namespace tessera {

/// options.draft_model, or what lies beside the model: assistant/, *assistant*.gguf, *-mtp.gguf (the first by
/// alphabet that fits); nothing when options.draft is 0 or there is none. Fills in info.drafter and
/// info.drafter_weight_bytes. One found that cannot be used is told of in info.note; one that was named
/// throws Error(kIo | kBadModel).
std::optional<ModelSource> find_drafter(const ModelConfig& config, const EngineOptions& options,
                                        ModelInfo& info);
/// Not used after all: `why` goes to info.note.
void forget_drafter(ModelInfo& info, const std::string& why);
/// Whether there is memory for the drafter, too.
bool drafter_fits(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                  AskedCard& card);

}  // namespace tessera
