#include "engine/probe.h"

#include <algorithm>

#include "base/error.h"
#include "engine/sampler.h"
#include "engine/stepper.h"

namespace tessera {

ProbeResult probe(EngineImpl& engine, Sequence& sequence, const ProbeOptions& options) {
  const int64_t n = sequence.size();
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
    const int64_t skipped = (state.rows - rows) * state.cols * dtype_bytes(state.dtype);
    auto& kept = out.hidden[static_cast<size_t>(layer)];
    kept.resize(static_cast<size_t>(rows * state.cols));
    be.read(kept.data(), {static_cast<uint8_t*>(state.data) + skipped, rows, state.cols, state.dtype});
  });

  Stepper stepper(engine, sequence);
  int64_t last = 0;  // logit row of the last position
  for (int64_t begin = 0; begin < n;) {
    const int64_t kept_rows =
        options.last_only ? engine.options.chunk_tokens : engine.scratch->max_logit_rows;
    const int64_t end = sequence.step_end(begin, std::min<int64_t>(engine.options.chunk_tokens, kept_rows));
    const int64_t logit_rows = options.last_only ? 1 : end - begin;
    stepper.step(*tap, begin, end, logit_rows);
    last = logit_rows - 1;
    if (!options.last_only || end == n) {
      const std::vector<float> logits = stepper.logits();
      out.logits.insert(out.logits.end(), logits.begin(), logits.end());
    }
    begin = end;
  }

  Sampler greedy({.temperature = 0, .seed = {}}, 0, engine.config.suppressed_tokens);
  for (int i = 0; i < options.greedy_tokens; ++i) {
    if (i > 0) {
      stepper.step(be, sequence.size() - 1, sequence.size(), 1);
      last = 0;
    }
    out.greedy.push_back(greedy.sample(be, engine.scratch->logits_of(last), {}, {}, sequence.size()));
    sequence.append_generated(out.greedy.back());
  }
  return out;
}

}  // namespace tessera
