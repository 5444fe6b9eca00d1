#pragma once
// Owns the engine's thread and its turns to compute: batches the generations of all sessions into steps.
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/generation.h"
#include "engine/kv_slots.h"
#include "engine/speculate.h"
#include "engine/step_budget.h"

namespace tessera {

class Scheduler {
 public:
  using OnEvent = std::function<void(const Event&)>;

  /// `engine` owns the scheduler. Nothing is started before the first request.
  explicit Scheduler(EngineImpl& engine);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Carries `generation` out and delivers its events on the calling thread, any thread. Setting `cancelled`
  /// and calling wake() ends it within one step. Throws Error(kBusy), what the steps threw, what `on_event`
  /// threw.
  Reply run(Generation& generation, const std::atomic<bool>& cancelled, const OnEvent& on_event);
  void wake();
  EngineStatus status() const;
  /// In place of the drafter, for tests: before the first request.
  void draft_with(Speculator::Source source) { speculator_.use(std::move(source)); }
  /// Forgets what idle slots hold: the next prompt is computed from nothing.
  void forget();

 private:
  using Clock = std::chrono::steady_clock;
  struct Request;

  void loop();
  void reap();
  void release(std::unique_lock<std::mutex>& lock);
  void admit(std::unique_lock<std::mutex>& lock);
  std::vector<Request*> choose();
  void step(const std::vector<Request*>& batch);
  void deliver(const std::vector<Request*>& batch);
  void complete(Request& request);
  void update_status();
  Clock::time_point next_deadline() const;

  EngineImpl& engine_;

  mutable std::mutex mutex_;
  std::condition_variable work_;  // the engine's thread waits here
  bool stop_ = false, idle_ = false, forget_ = false;
  std::deque<Request*> waiting_;
  std::vector<Request*> running_;  // in order of their coming
  EngineStatus status_;
  std::thread thread_;

  // The engine's thread only.
  std::deque<Request*> prefilling_;  // whose turn is next first
  KvSlots kv_;
  std::vector<size_t> released_;
  StepBudget budget_;
  Speculator speculator_;
  std::vector<Generation*> decoding_;  // of the step at hand
  StepPlan plan_;
  double step_ms_ = 0;  // of the last step; 0: nothing was computed
};

}  // namespace tessera
