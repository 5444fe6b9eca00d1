#include "engine/stepper.h"

#include <algorithm>

#include "base/error.h"

namespace tessera {

Stepper::Stepper(EngineImpl& engine, Sequence& sequence)
    : engine_(&engine),
      sequence_(&sequence),
      kv_(*engine.backend, engine.model, kv_type(engine.options.kv), 1, engine.options.context_tokens,
          engine.max_step_tokens(), engine.options.lock_memory) {}

void Stepper::step(Backend& with, int64_t begin, int64_t end, int64_t logit_rows) {
  EngineImpl& e = *engine_;
  if (logit_rows > e.scratch->max_logit_rows)
    throw_error(ErrorKind::kTooLarge,
                "logits of {} rows at once, this engine keeps {}; use a smaller --chunk", logit_rows,
                e.scratch->max_logit_rows);
  plan_.clear();
  sequence_->add_rows(plan_, begin, end, 0, e.media, *e.backend, e.model);
  for (int64_t r = end - begin - logit_rows; r < end - begin; ++r)
    plan_.logit_row.push_back(static_cast<int32_t>(r));
  forward(with, e.model, plan_, kv_.layers(), *e.scratch);
  e.backend->sync();
  written_ = begin == 0 ? end : std::max(written_, end);
}

std::vector<float> Stepper::logits() const {
  const Tensor& all = engine_->scratch->logits;
  std::vector<float> out(static_cast<size_t>(plan_.logit_rows() * all.cols));
  engine_->backend->read(out.data(), {all.data, plan_.logit_rows(), all.cols, all.dtype});
  return out;
}

void Stepper::prefill(int64_t begin, int64_t end) {
  while (begin < end) {
    const int64_t next = std::min(end, sequence_->step_end(begin, engine_->options.chunk_tokens));
    step(begin, next, next == end ? 1 : 0);
    begin = next;
  }
}

}  // namespace tessera
