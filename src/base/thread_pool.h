#pragma once
// Thread pool: one parallel loop at a time, statically cut or taken item by item.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera {

class ThreadPool {
 public:
  /// `threads` counts the caller: ThreadPool(1) runs everything on the calling thread. 0: one per core.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(item, worker) for each item in [0, items), worker in [0, threads()); items are taken one by
  /// one in ascending order. Returns when all are done; an exception of a body is rethrown here. One caller
  /// at a time.
  void run(int64_t items, const std::function<void(int64_t item, int worker)>& body);

 private:
  void work(int worker);
  void take_items(int worker);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  int64_t items_ = 0;
  const std::function<void(int64_t, int)>* body_ = nullptr;
  std::exception_ptr error_;
};

}  // namespace tessera
