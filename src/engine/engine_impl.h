#pragma once
// What a loaded model consists of, shared by its sessions.
#include <condition_variable>
#include <memory>
#include <mutex>

#include "backend/backend.h"
#include "engine/rules_cache.h"
#include "format/tensor_file.h"
#include "model/forward.h"
#include "model/mtp.h"
#include "tessera/tessera.h"
#include "text/tokenizer.h"

namespace tessera {

/// Longest vision block: the largest budget. A step has room for it whatever the chunk size.
inline constexpr int64_t kMaxVisionBlock = 1120;

/// First come, first served: std::mutex may let one session starve another.
class TurnLock {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const uint64_t ticket = next_++;
    changed_.wait(lock, [&] { return serving_ == ticket; });
  }
  void unlock() {
    const std::lock_guard lock(mutex_);
    ++serving_;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_ = 0, serving_ = 0;
};

struct ModelSource;
class Scheduler;

/// Rows of one conversation in a step in which it decodes: the newest token and drafts to verify.
inline constexpr int64_t kMaxDecodeRows = 9;

class EngineImpl {
 public:
  /// `with`: instead of the backend that options would make; they are resolved for one of that kind.
  EngineImpl(const std::string& path, const EngineOptions& options, std::unique_ptr<Backend> with = nullptr);
  EngineImpl(ModelSource source, const EngineOptions& options, std::unique_ptr<Backend> with = nullptr);

  ~EngineImpl();

  /// Longest part of a step that one conversation takes.
  int64_t max_step_tokens() const;

  EngineOptions options;     // resolved
  std::string why_not_cuda;  // of backend "auto" that became cpu
  std::string card_plan;     // what the card holds; "" on others
  ModelInfo info;
  uint64_t kv_key = 0;  // of all that the bytes of a KV cache depend on: files, backend, number format
  ModelConfig config;
  Tokenizer tokenizer;
  RulesCache rules{tokenizer, config.end_tokens};
  std::unique_ptr<Backend> backend;
  Model model;
  // Who has the turn computes: scratch is shared.
  TurnLock turn;
  std::unique_ptr<Scratch> scratch;
  std::unique_ptr<Drafter> drafter;  // or none
  std::shared_ptr<void> media_memory;
  Tensor media;                          // [max_step_tokens, hidden] soft tokens of one step
  std::unique_ptr<Scheduler> scheduler;  // last: its thread uses all of the above
};

/// What Engine::load makes of one.
std::shared_ptr<Engine> make_engine(std::unique_ptr<EngineImpl> impl);

}  // namespace tessera
