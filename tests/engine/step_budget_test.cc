// The rows of prompts beside running replies, on machines that are formulas: no clock.
#include "engine/step_budget.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera::test {
namespace {

// A step reads the weights once, and computes each row.
struct Machine {
  double read_ms = 40, row_ms = 1;
  double step(int64_t decode, int64_t prefill) const {
    return std::max(read_ms, row_ms * static_cast<double>(decode + prefill));
  }
};

struct Steps {
  double worst_added = 0;
  int64_t rows = 0;
};
Steps run(StepBudget& budget, const Machine& m, int steps, int64_t decode = 4) {
  Steps out;
  for (int i = 0; i < steps; ++i) {
    const int64_t prefill = budget.prefill_rows(true);
    const double ms = m.step(decode, prefill);
    budget.record(decode, prefill, ms);
    out.worst_added = std::max(out.worst_added, ms - m.step(decode, 0));
    out.rows += prefill;
  }
  return out;
}

TEST(StepBudget, AloneAChunkIsWhole) {
  EXPECT_EQ(StepBudget(100, 512).prefill_rows(false), 512);
  EXPECT_EQ(StepBudget(0.001, 512).prefill_rows(false), 512);
}

TEST(StepBudget, KeepsToTheTimeOnceItHasMeasured) {
  for (const double row_ms : {0.02, 0.3, 1.0, 7.0, 60.0}) {
    const Machine m{40, row_ms};
    StepBudget budget(100, 512);
    for (int i = 0; i < 5; ++i) budget.record(4, 0, m.step(4, 0));
    run(budget, m, 40);
    const Steps settled = run(budget, m, 100);
    EXPECT_LE(settled.worst_added, std::max(101.0, row_ms + 1)) << row_ms << " ms a row";
    // And uses it: half of what fits, at least one row.
    const double fits = std::min(512.0, std::max(1.0, (100 + m.step(4, 0)) / row_ms - 4));
    EXPECT_GE(settled.rows, static_cast<int64_t>(100 * std::floor(fits * 0.5))) << row_ms << " ms a row";
  }
}

TEST(StepBudget, FollowsAMachineThatSlowsDown) {
  StepBudget budget(50, 512);
  const Machine fast{10, 0.1}, slow{10, 4};
  budget.record(4, 0, 10);
  run(budget, fast, 40);
  EXPECT_GT(budget.prefill_rows(true), 300);
  run(budget, slow, 2);
  EXPECT_LE(run(budget, slow, 50).worst_added, 51 + 4 * 4);
  run(budget, fast, 10);
  EXPECT_GT(budget.prefill_rows(true), 300);
}

TEST(StepBudget, APromptAloneGivesTheFirstEstimate) {
  StepBudget budget(100, 512);
  budget.record(0, 512, 5120);  // 10 ms a row
  EXPECT_EQ(budget.prefill_rows(true), 10);
}

}  // namespace
}  // namespace tessera::test
