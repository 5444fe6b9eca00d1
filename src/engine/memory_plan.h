#pragma once
// What a load takes on a card, before it takes it (on the host: memory_need.h), and which backend that
// leaves.
#include "model/config.h"
#include "tessera/tessera.h"

namespace tessera {

/// Rows whose logits a step may leave: on a card they are held whether used or not.
int64_t max_logit_rows(const ModelConfig& config, const EngineOptions& options, int64_t step_rows);

/// Chooses "auto"'s backend: cuda where a card is usable, the options allow it and the model fits, else cpu.
/// `why` says why not cuda ("" for cuda).
std::string choose_backend(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                           std::string& why);

/// Throws Error(kTooLarge) with the arithmetic when weights, KV cache and activations exceed what is free on
/// the card, Error(kDevice) when there is none. `options`: resolved.
void check_card(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options);

}  // namespace tessera
