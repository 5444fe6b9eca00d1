#pragma once
// The memory arithmetic behind `tessera inspect` and every load (MemoryNeed is in tessera/tools.h).
#include "tessera/tessera.h"

namespace tessera {

/// Room for these many tokens when the caller does not say: the model's maximum, at most 8,192.
int64_t default_context(int64_t max_context);

/// Rows of the longest step: a prefill chunk, or a vision block, which is never cut, and what the other
/// conversations decode.
int64_t step_rows(const ModelInfo& info, const EngineOptions& options);
/// Activations of a step of `rows` rows and `logit_rows` rows of logits, as model/forward allocates them, and
/// the soft tokens.
int64_t step_bytes(const ModelInfo& info, int64_t rows, int64_t logit_rows = 1);

/// Throws Error(kTooLarge) with the arithmetic and what would fit, when `need` does not.
void check_memory(const std::string& path, const MemoryNeed& need);

}  // namespace tessera
