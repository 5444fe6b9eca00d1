#include "base/gang.h"

#include <chrono>
#include <utility>

namespace tessera {
namespace {

// Between two tokens lie some milliseconds in which the cards compute: a member that slept would start its
// card's next step 50 µs late. Where cores are few, members that look for work take them from those that have
// some.
constexpr auto kAwake = std::chrono::milliseconds(20);

std::chrono::steady_clock::duration awake_for(int members) {
  const bool room = std::thread::hardware_concurrency() >= 2U * static_cast<unsigned>(members);
  return room ? std::chrono::steady_clock::duration(kAwake) : std::chrono::steady_clock::duration(0);
}

template <typename Ready>
bool wait_awake(const Ready& ready, std::chrono::steady_clock::duration most) {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 64; ++i)
      if (ready()) return true;
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() - start < most);
  return ready();
}

}  // namespace

Gang::Gang(int members) : awake_(awake_for(members)), errors_(static_cast<size_t>(members)) {
  for (int i = 1; i < members; ++i) threads_.emplace_back([this, i] { work(i); });
}

Gang::~Gang() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Gang::call(int member) {
  try {
    (*body_)(member);
  } catch (...) {
    errors_[static_cast<size_t>(member)] = std::current_exception();
  }
}

void Gang::run(const std::function<void(int)>& body) {
  body_ = &body;
  left_.store(members() - 1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);  // or a member that is about to sleep misses the call
    turn_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  call(0);
  while (!wait_awake([&] { return left_.load(std::memory_order_acquire) == 0; }, awake_)) {
  }
  std::exception_ptr first;
  for (std::exception_ptr& e : errors_)
    if (const std::exception_ptr error = std::exchange(e, nullptr); error && !first) first = error;
  if (first) std::rethrow_exception(first);
}

void Gang::work(int member) {
  uint64_t seen = 0;
  const auto ready = [&] { return stop_ || turn_.load(std::memory_order_acquire) != seen; };
  for (;;) {
    if (!wait_awake(ready, awake_)) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, ready);
    }
    if (stop_) return;
    seen = turn_.load(std::memory_order_acquire);
    call(member);
    left_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace tessera
