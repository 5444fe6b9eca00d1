// measure_limits: the loops of backend/cpu/limits.h, timed on one thread and on all of them.
#include "backend/cpu/limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "backend/backend.h"
#include "backend/host_memory.h"
#include "base/machine.h"
#include "base/thread_pool.h"
#include "tessera/tessera.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

// Bursts are short so that some of them fall between a busy machine's other work; parts are handed out one by
// one, so that a thread that comes late costs little.
constexpr int kBursts = 12, kReadBursts = 6, kLeastBursts = 2, kPartsPerThread = 8;
constexpr double kBurstSeconds = 0.02,
                 kEnoughSeconds = 0.3;  // of one rate; a slow or busy machine does fewer bursts
constexpr int64_t kMinReadBytes = int64_t{1} << 30, kCaches = 3, kLeastReadBytes = int64_t{64} << 20;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Work a second of the best burst, a burst being `parts` calls of `part(index)`, each `work`.
template <typename Part>
double best_rate(ThreadPool& pool, int bursts, int64_t parts, double work, const Part& part) {
  double best = 0;
  const auto first = Clock::now();
  for (int burst = 0; burst < bursts && (burst < kLeastBursts || seconds_since(first) < kEnoughSeconds);
       ++burst) {
    const auto start = Clock::now();
    pool.run(parts, [&](int64_t i, int) { part(i); });
    best = std::max(best, static_cast<double>(parts) * work / seconds_since(start));
  }
  return best;
}

// What the loops compute ends here, or the compiler would leave them out.
template <typename T>
void keep(T value) {
  asm volatile("" : : "g"(value) : "memory");
}

MachineLimits::Rate peak(const cpu::PeakLoop& loop, ThreadPool& one, ThreadPool& all) {
  if (loop.unit == nullptr) return {};
  int64_t rounds = 1024;
  for (double took = 0; took < kBurstSeconds / kPartsPerThread; rounds *= 2) {
    const auto start = Clock::now();
    keep(loop.run(rounds));
    took = seconds_since(start);
  }
  const auto part = [&](int64_t) { keep(loop.run(rounds)); };
  const double work = static_cast<double>(rounds * loop.ops_per_round);
  return {loop.unit, best_rate(one, kBursts, kPartsPerThread, work, part),
          best_rate(all, kBursts, int64_t{kPartsPerThread} * all.threads(), work, part)};
}

MachineLimits::Rate read_rate(int64_t bytes, ThreadPool& one, ThreadPool& all) {
  const auto memory = allocate_host(bytes);
  auto* data = static_cast<uint8_t*>(memory.get());
  const int64_t parts = int64_t{kPartsPerThread} * all.threads(), part_bytes = bytes / parts;
  all.run(parts, [&](int64_t i, int) {
    std::memset(data + i * part_bytes, static_cast<int>(i) + 1, static_cast<size_t>(part_bytes));
  });
  MachineLimits::Rate best{"streaming sum", 0, 0};
  for (const int streams : {1, 2, 4}) {  // which is fastest differs between machines
    const auto part = [&](int64_t i) { keep(cpu::read_all(data + i * part_bytes, part_bytes, streams)); };
    const auto work = static_cast<double>(part_bytes);
    best.one_thread = std::max(best.one_thread, best_rate(one, kReadBursts, parts, work, part));
    best.all_threads = std::max(best.all_threads, best_rate(all, kReadBursts, parts, work, part));
  }
  return best;
}

}  // namespace

MachineLimits measure_limits(int threads, const std::string& isa) {
  const bool tiles = isa.empty() || isa == "amx";
  ThreadPool one(1), all(threads);
  MachineLimits limits;
  limits.threads = all.threads();
  int64_t bytes = std::max(kMinReadBytes, kCaches * last_level_cache_bytes());
  if (const int64_t available = available_memory_bytes(); available > 0)
    bytes = std::max(kLeastReadBytes, std::min(bytes, available / 2));
  const int64_t unit = int64_t{kPartsPerThread} * limits.threads * 4096;
  limits.read_buffer_bytes = bytes / unit * unit;
  limits.read_bytes = read_rate(limits.read_buffer_bytes, one, all);
  limits.int8_ops = peak(cpu::int8_peak(tiles), one, all);
  limits.f32_ops = peak(cpu::f32_peak(), one, all);
  limits.bf16_ops = peak(cpu::bf16_peak(tiles), one, all);
  return limits;
}

MachineLimits measure_card_limits(int device) {
  MachineLimits limits;
  const CudaLimits found = measure_cuda(device);
  limits.card = found.name;
  limits.card_read_bytes = found.read_bytes;
  limits.card_bf16_ops = found.bf16_ops;
  return limits;
}

std::string why_no_card() {
  return why_no_cuda();
}

}  // namespace tessera
