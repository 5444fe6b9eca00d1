#pragma once
// What a load takes on a card, before it takes it (on the host: memory_need.h), and which backend that
// leaves.
#include <optional>
#include <string>

#include "backend/backend.h"
#include "model/config.h"
#include "tessera/tessera.h"

namespace tessera {

/// Rows whose logits a step may leave: on a card they are held whether used or not. At least those of all
/// conversations that generate at once.
int64_t max_logit_rows(const ModelInfo& info, const EngineOptions& options, int64_t step_rows);

/// The card before the load takes anything of it, of several the one with the least free: asked when it is
/// first wanted, once a load.
using AskedCard = std::optional<CudaCard>;

/// Chooses "auto"'s backend: cuda where a card is usable, the options allow it and the model fits, else cpu.
/// `why` says why not cuda ("" for cuda).
std::string choose_backend(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                           std::string& why, AskedCard& card);

/// What goes on the card (on each, of several), for people. Throws Error(kTooLarge) with the arithmetic and
/// what would fit when that exceeds what is free there, or the rest what the host has; Error(kDevice) when
/// there is no card; Error(kBadRequest) when the model cannot be shared out. `options`: resolved.
std::string check_card(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                       AskedCard& card);

}  // namespace tessera
