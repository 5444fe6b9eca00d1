#pragma once
// Threads that run requests: started when there is work and none is free, kept for the next.
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera::server {

class HandlerPool {
 public:
  explicit HandlerPool(int max_threads) : max_threads_(max_threads) {}
  ~HandlerPool() { stop(); }
  HandlerPool(const HandlerPool&) = delete;
  HandlerPool& operator=(const HandlerPool&) = delete;

  /// Jobs that find no thread wait their turn. Ignored after stop().
  void post(std::function<void()> job);
  /// Runs what was posted, then joins.
  void stop();
  int busy() const;

 private:
  void work();

  const int max_threads_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  int idle_ = 0;
  bool stopping_ = false;
};

}  // namespace tessera::server
