#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace tessera {

struct Scheduler::Request {
  Request(Generation& g, const std::atomic<bool>& c) : generation(&g), cancelled(&c) {}

  Generation* generation;
  const std::atomic<bool>* cancelled;
  Clock::time_point deadline = Clock::time_point::max();
  // Under the scheduler's mutex.
  std::condition_variable changed;  // its caller waits here
  std::vector<Event> events;
  int64_t sent = 0, handled = 0;  // steps that gave events
  bool done = false, abandoned = false;
  std::exception_ptr error;
  // The engine's thread only.
  size_t slot = 0;
  bool has_slot = false;
  int64_t chunk = 0;

  // At most one step ahead of what the caller has handled.
  bool may_step() const { return sent - handled <= 1; }
};

namespace {

/// Rows that one more request of a step could have added before it failed are taken out again.
class PlanMark {
 public:
  explicit PlanMark(const StepPlan& plan)
      : rows_(plan.token.size()), media_(plan.media_row.size()), logits_(plan.logit_row.size()) {}
  void roll_back(StepPlan& plan) const {
    for (auto* v : {&plan.token, &plan.position, &plan.sequence, &plan.span_end})
      v->resize(std::min(v->size(), rows_));
    plan.media_row.resize(media_);
    plan.logit_row.resize(logits_);
  }

 private:
  size_t rows_, media_, logits_;
};

/// The exception at hand as an object of one request: its caller ends with it in a thread of its own.
std::exception_ptr own_error() {
  try {
    throw;
  } catch (const Error& error) {
    return std::make_exception_ptr(Error(error.kind(), error.what()));
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

Scheduler::Scheduler(EngineImpl& engine)
    : engine_(engine),
      kv_(engine),
      budget_(engine.options.max_step_ms, engine.options.chunk_tokens),
      speculator_(engine) {
  status_.slots.resize(kv_.slots().size());
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Reply Scheduler::run(Generation& generation, const std::atomic<bool>& cancelled, const OnEvent& on_event) {
  Request request(generation, cancelled);
  generation.keep_events(static_cast<bool>(on_event));
  if (const double ms = generation.options().timeout_ms; ms > 0)
    request.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                          std::chrono::duration<double, std::milli>(std::min(ms, 1e12)));
  std::unique_lock lock(mutex_);
  const auto most = status_.slots.size() + static_cast<size_t>(engine_.options.max_queue);
  if (running_.size() + waiting_.size() >= most) {
    ++status_.refused;
    throw_error(ErrorKind::kBusy, "{} requests are running or waiting, the limit is {}; try again later",
                most, most);
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  waiting_.push_back(&request);
  work_.notify_one();
  std::exception_ptr thrown;
  for (;;) {
    request.changed.wait(lock, [&] { return request.done || !request.events.empty(); });
    const std::vector<Event> events = std::exchange(request.events, {});
    const int64_t sent = request.sent;
    lock.unlock();
    try {
      for (const Event& event : events)
        if (!thrown) on_event(event);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    request.handled = sent;
    request.abandoned = thrown != nullptr;
    if (request.done && request.events.empty()) break;
    if (idle_) work_.notify_one();
  }
  lock.unlock();
  if (thrown) std::rethrow_exception(thrown);
  if (request.error) std::rethrow_exception(request.error);
  return generation.take_reply();
}

void Scheduler::wake() {
  const std::lock_guard lock(mutex_);
  work_.notify_one();
}

void Scheduler::forget() {
  const std::lock_guard lock(mutex_);
  forget_ = true;
}

EngineStatus Scheduler::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void Scheduler::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    reap();
    release(lock);
    if (std::exchange(forget_, false)) kv_.forget();
    admit(lock);
    const std::vector<Request*> batch = choose();
    update_status();
    if (batch.empty()) {
      if (!released_.empty()) continue;
      if (stop_ && running_.empty() && waiting_.empty()) return;
      idle_ = true;
      if (const auto deadline = next_deadline(); deadline == Clock::time_point::max())
        work_.wait(lock);
      else
        work_.wait_until(lock, deadline);
      idle_ = false;
      continue;
    }
    lock.unlock();
    step(batch);
    lock.lock();
    deliver(batch);
  }
}

// Ends what was cancelled, abandoned or is out of time.
void Scheduler::reap() {
  const auto now = Clock::now();
  const auto over = [now](Request* r) {
    if (*r->cancelled || r->abandoned) r->generation->finish(FinishReason::kCancelled);
    if (r->deadline <= now) r->generation->finish(FinishReason::kTimeLimit);
    return r->generation->state() == Generation::State::kFinished;
  };
  for (const std::vector<Request*> all = running_; Request * r : all)
    if (over(r)) complete(*r);
  std::erase_if(waiting_, [&](Request* r) {
    if (!over(r)) return false;
    complete(*r);
    return true;
  });
}

// Slots of finished requests: what they hold may be copied, which takes a while.
void Scheduler::release(std::unique_lock<std::mutex>& lock) {
  const std::vector<size_t> slots = std::exchange(released_, {});
  if (slots.empty()) return;
  lock.unlock();
  {
    const std::lock_guard turn(engine_.turn);
    for (const size_t slot : slots) kv_.release(slot);
  }
  lock.lock();
}

void Scheduler::admit(std::unique_lock<std::mutex>& lock) {
  while (!waiting_.empty() && running_.size() + released_.size() < kv_.slots().size()) {
    Request& request = *waiting_.front();
    waiting_.pop_front();
    running_.push_back(&request);
    lock.unlock();
    try {
      const std::lock_guard turn(engine_.turn);
      request.slot = kv_.acquire(request.generation->sequence());
      request.has_slot = true;
      request.generation->start(static_cast<int32_t>(request.slot), kv_.slot(request.slot));
    } catch (...) {
      request.error = std::current_exception();
    }
    lock.lock();
    if (request.error) {
      complete(request);
      continue;
    }
    prefilling_.push_back(&request);
    const Usage& usage = request.generation->reply().usage;
    status_.prompt_tokens += usage.prompt_tokens;
    status_.cached_tokens += usage.cached_tokens;
  }
}

// A row (or more, to verify) of every generation that decodes, and of prompts, in turn, what the budget
// leaves.
std::vector<Scheduler::Request*> Scheduler::choose() {
  std::vector<Request*> batch;
  for (Request* r : running_)
    if (r->generation->state() == Generation::State::kDecoding && r->may_step()) batch.push_back(r);
  int64_t left = budget_.prefill_rows(!batch.empty());
  bool first = true;
  for (size_t i = prefilling_.size(); i > 0 && left > 0; --i) {
    Request* r = prefilling_.front();
    prefilling_.pop_front();
    prefilling_.push_back(r);
    if (!r->may_step()) continue;
    const int64_t rows = r->generation->next_rows(left);
    // Only the first may go over the budget: a vision block is not cut.
    if (!std::exchange(first, false) && rows > left) continue;
    r->chunk = left;
    left -= rows;
    batch.push_back(r);
  }
  return batch;
}

void Scheduler::step(const std::vector<Request*>& batch) {
  EngineImpl& e = engine_;
  const std::lock_guard turn(e.turn);
  auto begin = Clock::now();
  const auto fail = [&](Request* r) {
    if (!r->error) r->error = own_error();
  };
  plan_.clear();
  decoding_.clear();
  for (Request* r : batch)
    if (r->generation->state() == Generation::State::kDecoding) decoding_.push_back(r->generation);
  double draft_ms = 0;
  try {
    speculator_.propose(decoding_, kv_.layers());
    draft_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    begin = Clock::now();
  } catch (...) {
    for (Request* r : batch) fail(r);
    return;
  }
  int64_t decode_rows = 0;
  for (Request* r : batch) {
    const PlanMark mark(plan_);
    try {
      r->generation->add_rows(plan_, r->chunk);
      if (r->generation->state() == Generation::State::kDecoding) decode_rows = plan_.rows();
    } catch (...) {
      fail(r);
      mark.roll_back(plan_);
    }
  }
  if (plan_.rows() == 0) return;
  const auto fail_all = [&] {
    for (Request* r : batch) {
      fail(r);
      kv_.slot(r->slot).clear();
    }
  };
  try {
    kv_.prepare(plan_);
    forward(*e.backend, e.model, plan_, kv_.layers(), *e.scratch);
    if (plan_.logit_rows() == 0) e.backend->sync();  // else choosing from the logits waits
  } catch (...) {
    fail_all();
  }
  for (Request* r : batch) {
    if (r->error) continue;
    try {
      r->generation->take();
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kDevice)
        fail_all();
      else
        fail(r);
    } catch (...) {
      fail(r);
    }
  }
  step_ms_ = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  budget_.record(decode_rows, plan_.rows() - decode_rows, step_ms_);
  std::vector<const Generation*> fresh;
  for (const Request* r : batch) fresh.push_back(r->generation);
  speculator_.record(decoding_, std::move(fresh), step_ms_, plan_.rows() > decode_rows);
  step_ms_ += draft_ms;
}

void Scheduler::deliver(const std::vector<Request*>& batch) {
  if (plan_.rows() > 0) {
    ++status_.steps;
    status_.step_rows += plan_.rows();
    status_.busy_ms += step_ms_;
    status_.longest_step_ms = std::max(status_.longest_step_ms, step_ms_);
  }
  for (Request* r : batch) {
    Generation& g = *r->generation;
    if (g.state() != Generation::State::kPrefilling) std::erase(prefilling_, r);
    if (r->error || g.state() == Generation::State::kFinished) {
      complete(*r);
    } else if (g.has_events()) {
      const std::vector<Event> events = g.take_events();
      r->events.insert(r->events.end(), events.begin(), events.end());
      ++r->sent;
      r->changed.notify_one();
    }
  }
}

// Hands the rest to the caller, after which the request is the caller's to destroy.
void Scheduler::complete(Request& request) {
  std::erase(running_, &request);
  std::erase(prefilling_, &request);
  if (request.has_slot) released_.push_back(request.slot);
  ++status_.requests;
  status_.completion_tokens += static_cast<int64_t>(request.generation->reply().ids.size());
  const std::vector<Event> events = request.generation->take_events();
  if (!request.error) request.events.insert(request.events.end(), events.begin(), events.end());
  request.done = true;
  update_status();
  request.changed.notify_one();
}

void Scheduler::update_status() {
  status_.queued = static_cast<int>(waiting_.size());
  kv_.describe(status_);
  for (size_t i = 0; i < status_.slots.size(); ++i) {
    status_.slots[i] = {};
    status_.slots[i].held_tokens = static_cast<int>(kv_.slots()[i].held.size());
  }
  for (const Request* r : running_) {
    const Generation& g = *r->generation;
    SlotStatus& slot = status_.slots[r->slot];
    slot.state = g.state() == Generation::State::kPrefilling ? SlotStatus::State::kPrefilling
                                                             : SlotStatus::State::kGenerating;
    slot.prompt_tokens = g.reply().usage.prompt_tokens;
    slot.completion_tokens = static_cast<int>(g.reply().ids.size());
  }
}

Scheduler::Clock::time_point Scheduler::next_deadline() const {
  auto first = Clock::time_point::max();
  for (const Request* r : running_) first = std::min(first, r->deadline);
  for (const Request* r : waiting_) first = std::min(first, r->deadline);
  return first;
}

}  // namespace tessera
