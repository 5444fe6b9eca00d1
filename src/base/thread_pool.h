#pragma once
// Thread pool: one parallel loop at a time, items taken one by one.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cpu_topology.h"

namespace tessera {

class ThreadPool {
 public:
  /// `threads` counts the caller: ThreadPool(1) runs everything on the calling thread. 0: one per core.
  explicit ThreadPool(int threads = 0, ThreadPlacement placement = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(item, worker) for each item in [0, items), worker in [0, threads()); items (under 2^24) are
  /// taken in ascending order. Returns when all are done; an exception of a body is rethrown here. One caller
  /// at a time.
  void run(int64_t items, const std::function<void(int64_t item, int worker)>& body);

 private:
  void work(int worker);
  void take_items(int worker);

  // The current loop: generation, number of items and next item in one word, so that a worker that comes late
  // reads a consistent state and takes nothing of a loop it did not see. The caller waits for items, never
  // for workers: one that the system does not schedule holds nobody up.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> done_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int64_t, int)>* body_ = nullptr;
  std::exception_ptr error_;
  std::mutex mutex_;  // error_, and sleeping
  std::condition_variable wake_;
  const ThreadPlacement placement_;
  std::vector<std::thread> workers_;
};

}  // namespace tessera
