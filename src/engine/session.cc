// Life of a reply: prefill what is not in the KV cache, then sample, step, stream, until something ends it.
#include <chrono>
#include <random>

#include "base/error.h"
#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/stop_strings.h"
#include "text/reply_parser.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

uint64_t fresh_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

struct Session::Impl {
  explicit Impl(std::shared_ptr<Engine> e)
      : engine(std::move(e)), parts(engine->impl()), sequence(parts.config, parts.tokenizer) {}

  Reply generate(const GenerateOptions& options, const std::function<void(const Event&)>& on_event);
  void prefill(Reply& reply, const std::function<void(const Event&)>& on_event);
  void step(int64_t begin, int64_t end, bool want_logits);
  bool starts_in_thought() const;

  std::shared_ptr<Engine> engine;
  EngineImpl& parts;
  Sequence sequence;
  int64_t reply_begin = 0;  // first generated position since the last append
  std::unique_ptr<KvCache> kv;
  int64_t cached = 0,
          written = 0;  // positions in kv that are the sequence's; highest position ever written + 1
  StepPlan plan;
  std::atomic<bool> cancelled{false};
};

// Rows [begin, end) through the model; logits of the last one land in scratch. Does not wait: what chooses
// from them does.
void Session::Impl::step(int64_t begin, int64_t end, bool want_logits) {
  plan.clear();
  sequence.add_rows(plan, begin, end, 0, parts.media, *parts.backend, parts.model);
  if (want_logits) plan.logit_row.push_back(static_cast<int32_t>(end - begin - 1));
  forward(*parts.backend, parts.model, plan, kv->layers(), *parts.scratch);
  cached = end;
  written = std::max(written, end);
}

void Session::Impl::prefill(Reply& reply, const std::function<void(const Event&)>& on_event) {
  const int64_t n = sequence.size();
  cached = sequence.block_begin(std::min(cached, n - 1));  // the last row runs again: its logits are wanted
  if (!kv->can_resume(cached, written)) cached = 0;
  if (cached == 0) written = 0;
  reply.usage.prompt_tokens = static_cast<int>(n);
  reply.usage.cached_tokens = static_cast<int>(cached);
  const int64_t first = cached;
  while (cached < n && !cancelled) {
    const int64_t end = sequence.step_end(cached, parts.options.chunk_tokens);
    step(cached, end, end == n);
    parts.backend->sync();
    if (on_event)
      on_event({EventKind::kPrefill, {}, {}, static_cast<int>(cached - first), static_cast<int>(n - first)});
  }
}

// The prompt may end inside an open thought channel (after a tool result with thinking on, or a cancelled
// reply).
bool Session::Impl::starts_in_thought() const {
  const auto open = parts.tokenizer.find("<|channel>"), close = parts.tokenizer.find("<channel|>"),
             turn = parts.tokenizer.find("<|turn>");
  if (!open) return false;
  for (int64_t i = sequence.size() - 1; i >= 0; --i) {
    const int32_t id = sequence.ids()[static_cast<size_t>(i)];
    if (id == *open) return true;
    if ((close && id == *close) || (turn && id == *turn)) return false;
  }
  return false;
}

Reply Session::Impl::generate(const GenerateOptions& options,
                              const std::function<void(const Event&)>& on_event) {
  Reply reply;
  reply.seed = options.sampling.seed.value_or(fresh_seed());
  Sampler sampler(options.sampling, reply.seed, parts.config.suppressed_tokens);
  if (options.max_tokens < 0)
    throw_error(ErrorKind::kBadRequest, "max_tokens is {}, expected 0 (no limit) or more",
                options.max_tokens);
  const int64_t before = sequence.size();
  sequence.flush();
  if (sequence.size() != before) reply_begin = sequence.size();
  const int64_t context = parts.options.context_tokens;
  if (sequence.size() == 0)
    throw_error(ErrorKind::kBadRequest, "the prompt is empty; append text or media first");
  if (sequence.size() > context)
    throw_error(ErrorKind::kTooLarge, "prompt is {} tokens, context is {}; {}", sequence.size(), context,
                sequence.size() < parts.config.max_context
                    ? fmt::format("shorten it or start with --ctx {}",
                                  std::min<int64_t>(sequence.size() + 512, parts.config.max_context))
                    : fmt::format("shorten it: the model's maximum is {}", parts.config.max_context));
  const std::lock_guard turn(parts.turn);
  if (!kv)
    kv = std::make_unique<KvCache>(*parts.backend, parts.model, kv_type(parts.options.kv), 1, context,
                                   parts.max_step_tokens(), parts.options.lock_memory);

  ReplyParser parser(parts.tokenizer, starts_in_thought());
  StopStrings stops(options.stop);
  const auto emit_text = [&](std::string text) {
    if (text.empty()) return;
    reply.text += text;
    if (on_event) on_event({EventKind::kText, std::move(text), {}, 0, 0});
  };
  const auto take = [&](const std::vector<ReplyEvent>& events) {
    for (const ReplyEvent& e : events) {
      if (e.kind == ReplyEvent::Kind::kText) emit_text(stops.push(e.text));
      if (e.kind == ReplyEvent::Kind::kThought) {
        reply.thought += e.text;
        if (on_event) on_event({EventKind::kThought, e.text, {}, 0, 0});
      }
      if (e.kind == ReplyEvent::Kind::kToolCall) {
        reply.tool_calls.push_back(e.call);
        if (on_event) on_event({EventKind::kToolCall, {}, e.call, 0, 0});
      }
    }
  };

  Clock::time_point start = Clock::now();
  prefill(reply, on_event);
  reply.usage.prefill_ms = ms_since(start);
  start = Clock::now();
  for (;;) {
    if (cancelled) {
      reply.finish = FinishReason::kCancelled;
      break;
    }
    const std::vector<int32_t>& ids = sequence.ids();
    const int32_t id =
        sampler.sample(*parts.backend, parts.scratch->logits_of(0), ids,
                       std::span(ids).subspan(static_cast<size_t>(reply_begin)), sequence.size());
    const bool end = !options.ignore_end_tokens && contains(parts.config.end_tokens, id);
    sequence.append_generated(id);
    reply.ids.push_back(id);
    take(parser.push(id));
    if (end) {
      reply.finish = reply.tool_calls.empty() ? FinishReason::kStop : FinishReason::kToolCall;
      break;
    }
    if (stops.hit()) {
      reply.finish = FinishReason::kStopString;
      break;
    }
    if (options.max_tokens > 0 && static_cast<int>(reply.ids.size()) >= options.max_tokens) {
      reply.finish = FinishReason::kLength;
      break;
    }
    if (sequence.size() >= context) {
      reply.finish = FinishReason::kContextFull;
      break;
    }
    step(sequence.size() - 1, sequence.size(), true);
  }
  reply.usage.generate_ms = ms_since(start);
  reply.usage.completion_tokens = static_cast<int>(reply.ids.size());
  take(parser.finish());
  emit_text(stops.finish());
  return reply;
}

Session::Session(std::shared_ptr<Engine> engine) : impl_(std::make_unique<Impl>(std::move(engine))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::append_text(std::string_view text) {
  impl_->sequence.append_text(text);
}
void Session::append_tokens(std::span<const int32_t> ids) {
  impl_->sequence.append_tokens(ids);
  impl_->reply_begin = impl_->sequence.size();
}
void Session::append_media(const Media& media) {
  impl_->sequence.append_media(media);
  impl_->reply_begin = impl_->sequence.size();
}

void Session::set_prompt(std::string_view rendered, std::span<const Media> media) {
  Sequence next(impl_->parts.config, impl_->parts.tokenizer);
  next.append_rendered(rendered, media);
  impl_->cached = std::min(impl_->cached, next.common_prefix(impl_->sequence));
  impl_->sequence = std::move(next);
  impl_->reply_begin = impl_->sequence.size();
}

Reply Session::generate(const GenerateOptions& options, const std::function<void(const Event&)>& on_event) {
  impl_->cancelled = false;
  return impl_->generate(options, on_event);
}

void Session::cancel() {
  impl_->cancelled = true;
}

void Session::clear() {
  impl_->sequence = Sequence(impl_->parts.config, impl_->parts.tokenizer);
  impl_->cached = impl_->reply_begin = 0;
}

int Session::tokens() const {
  return static_cast<int>(impl_->sequence.size());
}

}  // namespace tessera
