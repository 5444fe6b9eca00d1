// A session is its sequence: what the KV cache holds of it is the scheduler's business.
#include "base/error.h"
#include "engine/engine_impl.h"
#include "engine/generation.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"

namespace tessera {

struct Session::Impl {
  explicit Impl(std::shared_ptr<Engine> e)
      : engine(std::move(e)), parts(engine->impl()), sequence(parts.config, parts.tokenizer) {}

  std::shared_ptr<Engine> engine;
  EngineImpl& parts;
  Sequence sequence;
  int64_t reply_begin = 0;  // first generated position since the last append
  std::atomic<bool> cancelled{false};
};

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
  impl_->sequence = std::move(next);
  impl_->reply_begin = impl_->sequence.size();
}

Reply Session::generate(const GenerateOptions& options, const std::function<void(const Event&)>& on_event) {
  impl_->cancelled = false;
  Sequence& sequence = impl_->sequence;
  const int64_t before = sequence.size();
  sequence.flush();
  if (sequence.size() != before) impl_->reply_begin = sequence.size();
  Generation generation(impl_->parts, sequence, impl_->reply_begin, options);
  return impl_->parts.scheduler->run(generation, impl_->cancelled, on_event);
}

void Session::cancel() {
  impl_->cancelled = true;
  impl_->parts.scheduler->wake();
}

void Session::clear() {
  impl_->sequence = Sequence(impl_->parts.config, impl_->parts.tokenizer);
  impl_->reply_begin = 0;
}

int Session::tokens() const {
  return static_cast<int>(impl_->sequence.size());
}

}  // namespace tessera
