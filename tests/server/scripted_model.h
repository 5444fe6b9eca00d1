#pragma once
// A model that says what a test wants: events in order, then the reply that they add up to. No weights.
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "server/api_error.h"
#include "server/model.h"

namespace tessera::server {

struct Script {
  std::vector<Event> events;
  FinishReason finish = FinishReason::kStop;
  int prompt_tokens = 12, cached_tokens = 4;
  int ms_between = 0;                 // waits before each event, and sees a cancel there
  std::function<void()> before = {};  // runs first; may throw
  std::string stop_string = {};
};

inline Event text_event(std::string text) {
  return {EventKind::kText, std::move(text), {}, 0, 0};
}
inline Event thought_event(std::string text) {
  return {EventKind::kThought, std::move(text), {}, 0, 0};
}
inline Event prefill_event(int done, int total) {
  return {EventKind::kPrefill, {}, {}, done, total};
}
inline Event call_event(std::string name, std::string arguments, bool parsed = true) {
  return {EventKind::kToolCall, {}, {std::move(name), std::move(arguments), parsed}, 0, 0};
}

class ScriptedModel final : public Model {
 public:
  ScriptedModel() {
    info_.path = "models/scripted";
    info_.format = "safetensors, 1 file";
    info_.vocab = 512;
    info_.max_context = 4096;
    info_.vision_parameters = info_.audio_parameters = 1;
    info_.dtypes = {{"BF16", 1, 1, 2}};
  }

  void with_drafter() { info_.drafter = "models/scripted/assistant"; }
  void play(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  /// Chosen for each request instead.
  void play_by(std::function<Script(const Prompt&)> choose) {
    const std::lock_guard lock(mutex_);
    choose_ = std::move(choose);
  }
  /// What the last request asked for.
  Prompt prompt() const {
    const std::lock_guard lock(mutex_);
    return prompt_;
  }
  GenerateOptions options() const {
    const std::lock_guard lock(mutex_);
    return options_;
  }
  /// Of all requests, in any order.
  std::multiset<uint64_t> seeds() const {
    const std::lock_guard lock(mutex_);
    return seeds_;
  }
  std::atomic<int> running{0}, cancelled{0};

  const ModelInfo& info() const override { return info_; }
  int64_t context_tokens() const override { return 4096; }
  int64_t kv_bytes() const override { return 1 << 20; }
  std::string backend() const override { return "script"; }
  EngineStatus status() const override {
    EngineStatus status;
    status.slots.resize(2);
    status.slots[1] = {SlotStatus::State::kGenerating, 20, 12, 8};
    status.queued = 3;
    return status;
  }
  std::vector<int32_t> tokenize(std::string_view text) const override { return {text.begin(), text.end()}; }
  std::string detokenize(std::span<const int32_t> ids) const override { return {ids.begin(), ids.end()}; }
  std::unique_ptr<Conversation> open(const Prompt& prompt) override {
    const std::lock_guard lock(mutex_);
    prompt_ = prompt;
    return std::make_unique<Scripted>(*this, choose_ ? choose_(prompt) : script_);
  }

 private:
  class Scripted final : public Conversation {
   public:
    Scripted(ScriptedModel& model, Script script) : model_(model), script_(std::move(script)) {}
    int prompt_tokens() const override { return script_.prompt_tokens; }
    void cancel() override { stop_ = true; }

    Reply generate(const GenerateOptions& options,
                   const std::function<void(const Event&)>& on_event) override {
      {
        const std::lock_guard lock(model_.mutex_);
        model_.options_ = options;
        if (options.sampling.seed) model_.seeds_.insert(*options.sampling.seed);
      }
      struct Running {
        std::atomic<int>& count;
        explicit Running(std::atomic<int>& c) : count(c) { ++count; }
        ~Running() { --count; }
      } running(model_.running);
      if (script_.before) script_.before();
      Reply reply;
      reply.finish = script_.finish;
      reply.stop_string = script_.stop_string;
      reply.usage.prompt_tokens = script_.prompt_tokens;
      reply.usage.cached_tokens = script_.cached_tokens;
      reply.usage.prefill_ms = 10;
      reply.usage.generate_ms = 20;
      for (const Event& event : script_.events) {
        if (script_.ms_between > 0)
          std::this_thread::sleep_for(std::chrono::milliseconds(script_.ms_between));
        if (stop_) {
          ++model_.cancelled;
          reply.finish = FinishReason::kCancelled;
          break;
        }
        if (event.kind == EventKind::kText) reply.text += event.text;
        if (event.kind == EventKind::kThought) reply.thought += event.text;
        if (event.kind == EventKind::kToolCall) reply.tool_calls.push_back(event.tool_call);
        if (event.kind != EventKind::kPrefill) ++reply.usage.completion_tokens;
        on_event(event);
      }
      return reply;
    }

   private:
    ScriptedModel& model_;
    const Script script_;
    std::atomic<bool> stop_{false};
  };

  ModelInfo info_;
  mutable std::mutex mutex_;
  Script script_;
  std::function<Script(const Prompt&)> choose_;
  Prompt prompt_;
  GenerateOptions options_;
  std::multiset<uint64_t> seeds_;
};

}  // namespace tessera::server
