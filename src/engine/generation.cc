// Life of a reply: prefill what is not in the KV cache, then sample, step, stream, until something ends it.
#include "engine/generation.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/error.h"

namespace tessera {
namespace {

constexpr int32_t kNoDraft = -1;

double ms_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

uint64_t fresh_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// The prompt may end inside an open thought channel (after a tool result with thinking on, or a cancelled
// reply).
bool starts_in_thought(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  const auto open = tokenizer.find("<|channel>"), close = tokenizer.find("<channel|>"),
             turn = tokenizer.find("<|turn>");
  if (!open) return false;
  for (size_t i = ids.size(); i-- > 0;) {
    const int32_t id = ids[i];
    if (id == *open) return true;
    if ((close && id == *close) || (turn && id == *turn)) return false;
  }
  return false;
}

void check(const EngineImpl& engine, const Sequence& sequence, const GenerateOptions& options) {
  if (options.max_tokens < 0)
    throw_error(ErrorKind::kBadRequest, "max_tokens is {}, expected 0 (no limit) or more",
                options.max_tokens);
  if (options.min_tokens < 0)
    throw_error(ErrorKind::kBadRequest, "min_tokens is {}, expected 0 or more", options.min_tokens);
  if (options.top_logprobs < -1 || options.top_logprobs > 20)
    throw_error(ErrorKind::kBadRequest, "top_logprobs is {}, expected 0 … 20, or -1 for none",
                options.top_logprobs);
  for (const LogitBias& b : options.logit_bias)
    if (b.id >= engine.tokenizer.vocab_size())
      throw_error(ErrorKind::kBadRequest, "logit bias of token {}: the vocabulary has {}", b.id,
                  engine.tokenizer.vocab_size());
  if (!(options.timeout_ms >= 0))
    throw_error(ErrorKind::kBadRequest, "timeout_ms is {}, expected 0 (none) or more", options.timeout_ms);
  if (sequence.size() == 0)
    throw_error(ErrorKind::kBadRequest, "the prompt is empty; append text or media first");
  const int64_t context = engine.options.context_tokens, most = engine.config.max_context;
  if (sequence.size() > context)
    throw_error(ErrorKind::kTooLarge, "prompt is {} tokens, context is {}; {}", sequence.size(), context,
                sequence.size() < most ? fmt::format("shorten it or start with --ctx {}",
                                                     std::min<int64_t>(sequence.size() + 512, most))
                                       : fmt::format("shorten it: the model's maximum is {}", most));
}

}  // namespace

Generation::Generation(EngineImpl& engine, Sequence& sequence, int64_t reply_begin,
                       const GenerateOptions& options)
    : engine_(&engine),
      sequence_((check(engine, sequence, options), &sequence)),
      options_(options),
      reply_begin_(reply_begin),
      sampler_(options.sampling, reply_.seed = options.sampling.seed.value_or(fresh_seed()),
               engine.config.suppressed_tokens, options.logit_bias),
      parser_(engine.tokenizer, starts_in_thought(engine.tokenizer, sequence.ids())),
      stops_(options.stop),
      rules_(engine.rules.get(options.format, options.reasoning_budget_tokens)) {
  if (rules_) {
    const std::span<const int32_t> ids(sequence.ids());
    const auto prompt = ids.first(static_cast<size_t>(reply_begin));
    place_ = rules_->start(prompt, starts_in_thought(engine.tokenizer, prompt));
    for (const int32_t id : ids.subspan(prompt.size())) place_ = rules_->advance(place_, id);
  }
  reply_.usage.prompt_tokens = static_cast<int>(sequence.size());
}

void Generation::start(int32_t index, KvSlot& slot) {
  slot_index_ = index;
  slot_ = &slot;
  prefill_begin_ = static_cast<int64_t>(slot.held.size());
  reply_.usage.cached_tokens = static_cast<int>(prefill_begin_);
  state_ = State::kPrefilling;
  phase_begin_ = Clock::now();
  reply_.usage.queued_ms = ms_between(created_, phase_begin_);
}

void Generation::propose(std::span<const int32_t> drafts) {
  const int64_t room = std::min(engine_->options.context_tokens - sequence_->size(), kMaxDecodeRows - 1);
  const auto count = std::clamp<int64_t>(static_cast<int64_t>(drafts.size()), 0, std::max<int64_t>(room, 0));
  drafts_.assign(drafts.begin(), drafts.begin() + count);
}

int64_t Generation::next_rows(int64_t chunk_tokens) const {
  if (state_ == State::kDecoding) return 1 + static_cast<int64_t>(drafts_.size());
  const auto begin = static_cast<int64_t>(slot_->held.size());
  return sequence_->step_end(begin, chunk_tokens) - begin;
}

void Generation::add_rows(StepPlan& plan, int64_t chunk_tokens) {
  const int64_t n = sequence_->size();
  const bool decoding = state_ == State::kDecoding;
  step_begin_ = decoding ? n - 1 : static_cast<int64_t>(slot_->held.size());
  const int64_t end = decoding ? n : sequence_->step_end(step_begin_, chunk_tokens);
  const int64_t first_row = plan.rows();
  sequence_->add_rows(plan, step_begin_, end, slot_index_, engine_->media, *engine_->backend, engine_->model);
  step_end_ = end;
  for (const int32_t draft : drafts_) {
    plan.token.push_back(draft);
    plan.position.push_back(static_cast<int32_t>(step_end_));
    plan.sequence.push_back(slot_index_);
    plan.span_end.push_back(static_cast<int32_t>(step_end_++));
  }
  logit_row_ = plan.logit_rows();
  for (int64_t r = decoding ? first_row : plan.rows() - 1; end == n && r < plan.rows(); ++r)
    plan.logit_row.push_back(static_cast<int32_t>(r));
}

// Positions up to `end` of the step's rows stand; rows beyond were written for drafts that were not taken.
void Generation::commit(int64_t end) {
  slot_->written = std::max(slot_->written, step_end_);
  const auto& keys = sequence_->keys();
  slot_->held.insert(slot_->held.end(), keys.begin() + static_cast<int64_t>(slot_->held.size()),
                     keys.begin() + end);
}

void Generation::take() {
  if (state_ == State::kFinished) return;
  if (state_ == State::kPrefilling) {
    commit(step_end_);
    const int64_t n = sequence_->size();
    emit({EventKind::kPrefill,
          {},
          {},
          static_cast<int>(step_end_ - prefill_begin_),
          static_cast<int>(n - prefill_begin_)});
    if (step_end_ < n) return;
    state_ = State::kDecoding;
    const auto now = Clock::now();
    reply_.usage.prefill_ms = ms_between(std::exchange(phase_begin_, now), now);
  }
  // Row j gives the token after the j-th draft; it stands as long as each draft is what was drawn.
  const std::vector<int32_t> drafts = std::exchange(drafts_, {});
  round_ = {static_cast<int>(drafts.size()), 0};
  reply_.usage.drafted_tokens += round_.drafted;
  reply_.usage.draft_rounds += drafts.empty() ? 0 : 1;
  for (size_t j = 0; j <= drafts.size(); ++j) {
    hidden_row_ = logit_row_ + static_cast<int64_t>(j);
    const int32_t draft = j < drafts.size() ? drafts[j] : kNoDraft;
    const auto id = choose(engine_->scratch->logits_of(hidden_row_), draft);
    if (!id) return finish(FinishReason::kStop);
    commit(sequence_->size());
    const bool accepted = *id == draft;
    if (accepted) ++round_.accepted, ++reply_.usage.accepted_tokens;
    if (const auto reason = append(*id)) return finish(*reason);
    if (!accepted) return;
  }
}

// The next token; none when the vocabulary has none that the format allows.
std::optional<int32_t> Generation::choose(Tensor logits, int32_t draft) {
  DrawLimits limits;
  allowed_.restricted = false;
  allowed_.banned.clear();
  if (rules_) rules_->allowed(place_, allowed_);
  if (allowed_.restricted) {
    limits.only = allowed_.only;
    if (std::all_of(limits.only.begin(), limits.only.end(), [](uint64_t bits) { return bits == 0; }))
      return {};
  } else if (static_cast<int>(reply_.ids.size()) < options_.min_tokens) {
    const std::vector<int32_t>& ends = engine_->config.end_tokens;
    allowed_.banned.insert(allowed_.banned.end(), ends.begin(), ends.end());
  }
  limits.banned = allowed_.banned;
  const std::vector<int32_t>& ids = sequence_->ids();
  const auto draw = [&] {
    return sampler_.sample(*engine_->backend, logits, ids,
                           std::span(ids).subspan(static_cast<size_t>(reply_begin_)), sequence_->size(),
                           limits);
  };
  if (options_.top_logprobs < 0) return draw();
  const Logprobs logprobs(*engine_->backend, logits, options_.top_logprobs);
  const auto entry = [&](int32_t id, float logprob) {
    return TokenLogprob{id, logprob, std::string(engine_->tokenizer.token_bytes(id))};
  };
  const int32_t id = draw();
  TokenLogprobs all{entry(id, logprobs.of(id))};
  for (const Candidate& c : logprobs.top()) all.top.push_back(entry(c.id, c.logit));
  all.drafted = id == draft;
  all.in_answer = parser_.in_answer() && !engine_->tokenizer.is_control(id);
  if (all.in_answer && keep_events_) logprobs_.push_back(all);
  reply_.logprobs.push_back(std::move(all));
  return id;
}

// One token of the reply; what ended it, if it did.
std::optional<FinishReason> Generation::append(int32_t id) {
  sequence_->append_generated(id);
  reply_.ids.push_back(id);
  if (rules_) place_ = rules_->advance(place_, id);
  take(parser_.push(id));
  if (!options_.ignore_end_tokens && contains(engine_->config.end_tokens, id))
    return reply_.tool_calls.empty() ? FinishReason::kStop : FinishReason::kToolCall;
  if (stops_.hit() != nullptr) {
    reply_.stop_string = *stops_.hit();
    return FinishReason::kStopString;
  }
  const bool no_end = options_.ignore_end_tokens || engine_->config.end_tokens.empty();
  if (no_end && rules_ && rules_->finished(place_)) return FinishReason::kStop;
  if (options_.max_tokens > 0 && static_cast<int>(reply_.ids.size()) >= options_.max_tokens)
    return FinishReason::kLength;
  if (sequence_->size() >= engine_->options.context_tokens) return FinishReason::kContextFull;
  return {};
}

void Generation::finish(FinishReason reason) {
  if (state_ == State::kFinished) return;
  const double ms = ms_between(phase_begin_, Clock::now());
  if (state_ == State::kWaiting) reply_.usage.queued_ms = ms;
  if (state_ == State::kPrefilling) reply_.usage.prefill_ms = ms;
  if (state_ == State::kDecoding) reply_.usage.generate_ms = ms;
  state_ = State::kFinished;
  reply_.finish = reason;
  reply_.usage.completion_tokens = static_cast<int>(reply_.ids.size());
  take(parser_.finish());
  emit_text(stops_.finish());
  warn();
}

void Generation::warn() {
  for (const ToolCall& call : reply_.tool_calls)
    if (!call.parsed) reply_.warning = "a tool call could not be read; its text is as the model wrote it";
  if (rules_ && !rules_->complete(place_))
    reply_.warning = fmt::format("the reply ended ({}) before it was all that its format asks for",
                                 to_string(reply_.finish));
}

void Generation::emit(Event event) {
  if (!keep_events_) return;
  event.usage = reply_.usage;
  event.usage.completion_tokens = static_cast<int>(reply_.ids.size());
  const double ms = ms_between(phase_begin_, Clock::now());
  if (state_ == State::kPrefilling) event.usage.prefill_ms = ms;
  if (state_ == State::kDecoding) event.usage.generate_ms = ms;
  events_.push_back(std::move(event));
}

void Generation::emit_text(std::string text) {
  if (text.empty()) return;
  reply_.text += text;
  emit({EventKind::kText, std::move(text), {}, 0, 0, std::exchange(logprobs_, {})});
}

void Generation::take(const std::vector<ReplyEvent>& events) {
  for (const ReplyEvent& e : events) {
    if (e.kind == ReplyEvent::Kind::kText) emit_text(stops_.push(e.text));
    if (e.kind == ReplyEvent::Kind::kThought) {
      reply_.thought += e.text;
      emit({EventKind::kThought, e.text, {}, 0, 0});
    }
    if (e.kind == ReplyEvent::Kind::kToolCall) {
      reply_.tool_calls.push_back(e.call);
      emit({EventKind::kToolCall, {}, e.call, 0, 0});
    }
  }
}

}  // namespace tessera
