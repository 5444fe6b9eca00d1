#pragma once
// The parity probe: one prompt through the model, everything that the golden outputs hold kept.
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/engine_impl.h"
#include "engine/sequence.h"

namespace tessera {

struct ProbeOptions {
  int greedy_tokens = 0;
  bool last_only = false;  // logits of the last row only
  int hidden_rows = 1;     // last positions whose hidden states are kept; they must lie in the last step
};

struct ProbeResult {
  std::vector<int32_t> input_ids, token_types, greedy;
  std::vector<float> image_embeds, audio_embeds;  // [soft tokens, d]
  // [L + 1][hidden_rows, d]: after the embedding, after layers 1 … L - 1, after the final norm.
  std::vector<std::vector<float>> hidden;
  std::vector<float> logits;  // [rows or 1, vocab]
};

/// Runs `sequence` (flushed) in chunks of the engine's options; the greedy continuation is appended to it.
/// Suppressed tokens are never chosen, end tokens are ignored. Throws Error(kBadRequest | kTooLarge).
ProbeResult probe(EngineImpl& engine, Sequence& sequence, const ProbeOptions& options);

/// A backend that hands each step's residual stream to `on_state(layer, rows)` and passes every call on:
/// layer 0 after the embedding, i after layer i, and layer `layers` the normed output of the last one. Owns
/// nothing.
std::unique_ptr<Backend> make_tap_backend(Backend& inner, int layers,
                                          std::function<void(int layer, Tensor state)> on_state);

}  // namespace tessera
