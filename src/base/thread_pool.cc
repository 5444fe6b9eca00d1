#include "base/thread_pool.h"

#include <utility>

#include "base/error.h"

namespace tessera {
namespace {

// A decode step of the small model is some 80 loops of 20–100 µs: sleeping and waking costs as much as the
// work, so a worker looks for the next loop for a while before it sleeps.
constexpr int kSpins = 4000, kYields = 100;
constexpr int kItemBits = 24;
constexpr uint64_t kItemMask = (uint64_t{1} << kItemBits) - 1;

uint64_t generation_of(uint64_t ticket) {
  return ticket >> (2 * kItemBits);
}
uint64_t items_of(uint64_t ticket) {
  return (ticket >> kItemBits) & kItemMask;
}
uint64_t next_of(uint64_t ticket) {
  return ticket & kItemMask;
}

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // "yield" does nothing on most cores: the wait would be a few µs
#endif
}

// Spins, then yields; false when `ready` did not come true in that time.
template <typename Ready>
bool wait_a_while(const Ready& ready) {
  for (int i = 0; i < kSpins; ++i) {
    if (ready()) return true;
    pause_cpu();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready()) return true;
    std::this_thread::yield();
  }
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int threads, ThreadPlacement placement) : placement_(std::move(placement)) {
  if (threads <= 0) threads = read_cpu_topology().threads();
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::run(int64_t items, const std::function<void(int64_t, int)>& body) {
  if (items <= 0) return;
  if (workers_.empty() || items == 1) {
    for (int64_t i = 0; i < items; ++i) body(i, 0);
    return;
  }
  TS_CHECK(items + threads() < static_cast<int64_t>(kItemMask), "{} items in one loop", items);
  body_ = &body;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t generation = generation_of(ticket_.load(std::memory_order_relaxed)) + 1;
  {
    const std::lock_guard lock(mutex_);  // or a worker that is about to sleep misses the call
    ticket_.store((generation << (2 * kItemBits)) | (static_cast<uint64_t>(items) << kItemBits),
                  std::memory_order_release);
  }
  wake_.notify_all();
  take_items(0);
  while (!wait_a_while([&] { return done_.load(std::memory_order_acquire) == items; })) {
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::take_items(int worker) {
  for (;;) {
    const uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
    // Past the end: each worker leaves the counter one too high at most, which the next loop's store wipes
    // out.
    if (next_of(ticket) >= items_of(ticket)) return;
    try {
      (*body_)(static_cast<int64_t>(next_of(ticket)), worker);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    done_.fetch_add(1, std::memory_order_release);
  }
}

void ThreadPool::work(int worker) {
  if (static_cast<size_t>(worker) < placement_.cpus.size())
    pin_thread(
        placement_.cpus[static_cast<size_t>(worker)]);  // refused: the system places it, which is only slower
  const InterleavedMemory interleaved(placement_.memory_nodes);
  uint64_t seen = 0;
  const auto ready = [&] { return stop_ || generation_of(ticket_.load(std::memory_order_acquire)) != seen; };
  for (;;) {
    if (!wait_a_while(ready)) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, ready);
    }
    if (stop_) return;
    seen = generation_of(ticket_.load(std::memory_order_acquire));
    take_items(worker);
  }
}

}  // namespace tessera
