// The answers to one prompt: one conversation each, at once, so that each pass through the model serves all.
#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <optional>
#include <system_error>
#include <thread>

#include "server/service.h"

namespace tessera::server {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRetryAfterS = 2;

}  // namespace

Service::Turn::Turn(Service& service) : service_(service) {
  const std::lock_guard lock(service.mutex_);
  if (service.stopping_) throw unavailable("the server is shutting down", kRetryAfterS);
  service.check_room(1);
  at_ = service.active_.insert(service.active_.end(), Active{});
  ++service.metrics_.active;
}

Service::Turn::~Turn() {
  --service_.metrics_.active;
  const std::lock_guard lock(service_.mutex_);
  service_.active_.erase(at_);
}

void Service::Turn::widen(int places) {
  const std::lock_guard lock(service_.mutex_);
  service_.check_room(places - at_->places);
  at_->places = places;
}

void Service::Turn::set(std::vector<Conversation*> conversations) {
  const std::lock_guard lock(service_.mutex_);
  at_->conversations = std::move(conversations);
}

void Service::check_room(int places) {
  const int most = options_.parallel + options_.max_queue;
  for (const Active& other : active_) places += other.places;
  if (places <= most) return;
  ++metrics_.rejected;
  throw unavailable(fmt::format("{} answers are written or wait already (--parallel, --max-queue)", most),
                    kRetryAfterS);
}

/// What the threads that write a prompt's answers share.
struct Service::Answers {
  std::mutex mutex;  // of what follows, and of the writer
  std::condition_variable changed;
  bool prompt_computed = false;  // by the first: the others take it over instead of computing it again
  std::exception_ptr failed;
  std::vector<std::optional<Reply>> replies;
};

void Service::answer_one(Conversation& conversation, const GenerateRequest& request, HttpReply& reply,
                         ReplyWriter* writer, int number, size_t index, Answers& answers) {
  GenerateOptions options = request.options;
  options.timeout_ms = options_.request_timeout_ms;
  if (options.sampling.seed) *options.sampling.seed += static_cast<uint64_t>(number);
  auto last = Clock::now();
  bool any = false;
  const auto on_event = [&](const Event& event) {
    // Told again: a cancel before generate() had begun is forgotten by it.
    if (stopping_ || reply.closed()) conversation.cancel();
    if (event.kind != EventKind::kPrefill) {
      const auto now = Clock::now();
      (any ? metrics_.inter_token_s : metrics_.first_token_s)
          .add(std::chrono::duration<double>(now - last).count());
      last = now;
    }
    const std::lock_guard lock(answers.mutex);
    if (event.kind != EventKind::kPrefill && !std::exchange(any, true) && !answers.prompt_computed) {
      answers.prompt_computed = true;
      answers.changed.notify_all();
    }
    if (answers.failed) conversation.cancel();
    if (request.stream && writer != nullptr) writer->event(number, event);
  };
  try {
    Reply answered;
    answered.finish = FinishReason::kCancelled;
    if (!stopping_ && !reply.closed()) answered = conversation.generate(options, on_event);
    count(answered);
    const std::lock_guard lock(answers.mutex);
    answers.replies[index] = std::move(answered);
  } catch (...) {
    const std::lock_guard lock(answers.mutex);
    if (!answers.failed) answers.failed = std::current_exception();
  }
  const std::lock_guard lock(answers.mutex);
  answers.prompt_computed = true;
  answers.changed.notify_all();
}

std::vector<Reply> Service::answer(std::span<const std::unique_ptr<Conversation>> conversations,
                                   const GenerateRequest& request, HttpReply& reply, ReplyWriter* writer,
                                   int number, Turn& turn) {
  std::vector<Conversation*> all;
  for (const auto& conversation : conversations) all.push_back(conversation.get());
  turn.set(all);
  reply.on_close([&all] {
    for (Conversation* conversation : all) conversation->cancel();
  });
  struct Clear {
    Turn& turn;
    HttpReply& reply;
    ~Clear() {
      reply.on_close({});
      turn.set({});
    }
  } clear{turn, reply};
  Answers answers;
  answers.replies.resize(all.size());
  std::vector<std::thread> others;
  try {
    for (size_t i = 1; i < all.size(); ++i) {
      others.emplace_back([&, i] {
        {
          std::unique_lock lock(answers.mutex);
          answers.changed.wait(lock, [&] { return answers.prompt_computed; });
          if (answers.failed) return;
        }
        answer_one(*all[i], request, reply, writer, number + static_cast<int>(i), i, answers);
      });
    }
  } catch (const std::system_error&) {  // no more threads: those that run end with the first
    const std::lock_guard lock(answers.mutex);
    answers.failed = std::make_exception_ptr(unavailable("the server has no thread left", kRetryAfterS));
  }
  answer_one(*all[0], request, reply, writer, number, 0, answers);
  for (std::thread& other : others) other.join();
  if (answers.failed) std::rethrow_exception(answers.failed);
  std::vector<Reply> replies;
  for (auto& answered : answers.replies) replies.push_back(std::move(*answered));
  return replies;
}

void Service::count(const Reply& reply) {
  metrics_.prompt_tokens += reply.usage.prompt_tokens;
  metrics_.cached_tokens += reply.usage.cached_tokens;
  metrics_.completion_tokens += reply.usage.completion_tokens;
  metrics_.prefill_us += static_cast<int64_t>(reply.usage.prefill_ms * 1e3);
  metrics_.generate_us += static_cast<int64_t>(reply.usage.generate_ms * 1e3);
}

}  // namespace tessera::server
