// tessera bench --parallel: tokens a second of several conversations at once, through the scheduler, as a
// server's would be.
#include "cli/bench_parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/median.h"

namespace tessera::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// Ids below the vocabulary's end that no tokenizer has as control tokens; another sequence for each session.
std::vector<int32_t> prompt_of(int session, int tokens, int vocab) {
  std::vector<int32_t> ids;
  const int first = std::min(300, vocab / 2);
  for (int i = 0; i < tokens; ++i)
    ids.push_back(first + (session * 7919 + i * 31) % std::max(1, vocab / 2 - first));
  return ids;
}

/// Seconds that `sessions` conversations take for `tokens` each, behind prompts that are in the KV cache.
double time_together(const std::shared_ptr<Engine>& engine, int sessions, int prompt_tokens, int tokens) {
  const auto all = [&](int count) {
    std::vector<std::thread> threads;
    std::vector<std::exception_ptr> errors(static_cast<size_t>(sessions));
    const auto start = Clock::now();
    for (int i = 0; i < sessions; ++i)
      threads.emplace_back([&, i] {
        try {
          Session session(engine);
          session.append_tokens(prompt_of(i, prompt_tokens, engine->info().vocab));
          GenerateOptions options;
          options.sampling.temperature = 0;
          options.ignore_end_tokens = true;
          options.max_tokens = count;
          session.generate(options, [](const Event&) {});
        } catch (...) {
          errors[static_cast<size_t>(i)] = std::current_exception();
        }
      });
    for (std::thread& t : threads) t.join();
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  all(1);  // the prompts
  return all(tokens);
}

}  // namespace

std::vector<ParallelRun> bench_parallel(const std::shared_ptr<Engine>& engine,
                                        const std::vector<int>& sessions, int prompt_tokens, int tokens,
                                        int repeats) {
  std::vector<ParallelRun> runs;
  for (const int count : sessions) {
    ParallelRun run{count, tokens, {}};
    for (int i = 0; i <= repeats; ++i) {
      const double seconds = time_together(engine, count, prompt_tokens, tokens);
      if (i > 0) run.seconds.push_back(seconds);
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

double ParallelRun::tokens_per_s() const {
  return sessions * tokens / median_of(seconds);
}

std::string parallel_table(const std::vector<ParallelRun>& runs) {
  std::string text =
      fmt::format("{:>8} {:>10} {:>12} {:>12} {:>8}\n", "sessions", "tokens", "tokens/s", "of each", "ratio");
  for (const ParallelRun& run : runs)
    text += fmt::format("{:>8} {:>10} {:>12.2f} {:>12.2f} {:>8.2f}\n", run.sessions,
                        run.sessions * run.tokens, run.tokens_per_s(), run.tokens_per_s() / run.sessions,
                        run.tokens_per_s() / runs.front().tokens_per_s());
  return text;
}

}  // namespace tessera::cli
