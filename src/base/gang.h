#pragma once
// Threads that do the same thing at the same time, each for its own device.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera {

class Gang {
 public:
  /// Member 0 is whoever calls run(), the others are threads of their own.
  explicit Gang(int members);
  ~Gang();
  Gang(const Gang&) = delete;
  Gang& operator=(const Gang&) = delete;

  int members() const { return static_cast<int>(errors_.size()); }
  /// Calls body(member) for all members, at the same time, always on the same thread for a member but 0.
  /// Returns when all are done; rethrows the first member's exception. One caller at a time.
  void run(const std::function<void(int member)>& body);

 private:
  void work(int member);
  void call(int member);

  const std::chrono::steady_clock::duration awake_;  // before a member sleeps
  std::atomic<uint64_t> turn_{0};
  std::atomic<int> left_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int)>* body_ = nullptr;
  std::vector<std::exception_ptr> errors_;
  std::mutex mutex_;  // sleeping
  std::condition_variable wake_;
  std::vector<std::thread> threads_;
};

}  // namespace tessera
