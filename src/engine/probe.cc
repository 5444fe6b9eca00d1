#include "engine/probe.h"

#include <algorithm>

#include "base/error.h"
#include "engine/sampler.h"
#include "engine/stepper.h"

namespace tessera {

ProbeResult probe(EngineImpl& engine, Sequence& sequence, const ProbeOptions& options) {
  const int64_t n = sequence.size(), vocab = engine.config.vocab;
  if (n == 0) throw_error(ErrorKind::kBadRequest, "the prompt is empty");
  if (n + options.greedy_tokens > engine.options.context_tokens)
    throw_error(ErrorKind::kTooLarge, "prompt of {} tokens and {} greedy ones, context is {}", n,
                options.greedy_tokens, engine.options.context_tokens);
  const std::lock_guard turn(engine.turn);
  ProbeResult out;
  out.input_ids = sequence.ids();
  for (int64_t p = 0; p < n; ++p) out.token_types.push_back(static_cast<int32_t>(sequence.kind(p)));
  Backend& be = *engine.backend;
  out.image_embeds = sequence.embeddings(TokenKind::kImage, be, engine.model);
  out.audio_embeds = sequence.embeddings(TokenKind::kAudio, be, engine.model);

  const auto layers = static_cast<int>(engine.model.layers.size());
  out.hidden.resize(static_cast<size_t>(layers) + 1);
  const auto tap = make_tap_backend(be, layers, [&](int layer, Tensor state) {
    const int64_t rows = std::min<int64_t>(options.hidden_rows, state.rows);
    out.hidden[static_cast<size_t>(layer)].assign(state.row(state.rows - rows), state.row(state.rows));
  });

  Stepper stepper(engine, sequence);
  std::span<float> logits;
  for (int64_t begin = 0; begin < n;) {
    const int64_t end = sequence.step_end(begin, engine.options.chunk_tokens);
    logits = stepper.step(*tap, begin, end, options.last_only ? 1 : end - begin);
    if (!options.last_only) out.logits.insert(out.logits.end(), logits.begin(), logits.end());
    begin = end;
  }
  logits = logits.last(static_cast<size_t>(vocab));
  if (options.last_only) out.logits.assign(logits.begin(), logits.end());

  Sampler greedy({.temperature = 0, .seed = {}}, 0, engine.config.suppressed_tokens);
  for (int i = 0; i < options.greedy_tokens; ++i) {
    if (i > 0) logits = stepper.step(be, sequence.size() - 1, sequence.size(), 1);
    out.greedy.push_back(greedy.sample(logits, {}, {}, sequence.size()));
    sequence.append_generated(out.greedy.back());
  }
  return out;
}

}  // namespace tessera
