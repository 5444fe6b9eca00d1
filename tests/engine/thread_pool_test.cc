#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

namespace tessera {
namespace {

// Many short loops of changing length: each item exactly once, none lost, none of an earlier loop.
TEST(ThreadPool, EveryItemOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int loop = 0; loop < 5000; ++loop) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(loop % 37));
      pool.run(static_cast<int64_t>(seen.size()), [&](int64_t item, int worker) {
        ASSERT_LT(worker, threads);
        ++seen[static_cast<size_t>(item)];
      });
      for (const auto& n : seen) ASSERT_EQ(n, 1) << "loop " << loop << ", " << threads << " threads";
    }
  }
}

TEST(ThreadPool, AnExceptionReachesTheCallerAndThePoolLives) {
  ThreadPool pool(4);
  for (int i = 0; i < 50; ++i) {
    EXPECT_THROW(pool.run(100,
                          [](int64_t item, int) {
                            if (item == 50) throw std::runtime_error("fifty");
                          }),
                 std::runtime_error);
    std::atomic<int64_t> sum{0};
    pool.run(100, [&](int64_t item, int) { sum += item; });
    EXPECT_EQ(sum, 4950);
  }
}

}  // namespace
}  // namespace tessera
