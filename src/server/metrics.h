#pragma once
// Counters of the server, as Prometheus text. Any thread.
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace tessera::server {

/// Cumulative buckets, in seconds.
class Histogram {
 public:
  static constexpr std::array<double, 14> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,    1,     2.5,  5,     10,   60};
  void add(double seconds);
  std::string text(const std::string& name, const std::string& help) const;

 private:
  std::array<std::atomic<int64_t>, kBounds.size() + 1> counts_{};
  std::atomic<int64_t> sum_us_{0};
};

struct Metrics {
  void request(const std::string& route, int status);

  std::atomic<int64_t> prompt_tokens{0}, cached_tokens{0}, completion_tokens{0};
  std::atomic<int64_t> prefill_us{0}, generate_us{0};
  std::atomic<int64_t> cancelled{0}, rejected{0};
  std::atomic<int> active{0};
  Histogram first_token_s, inter_token_s, request_s;

  /// `gauges`: name → value of what is measured elsewhere.
  std::string text(const std::map<std::string, double>& gauges) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, int64_t> requests_;  // route, status
};

}  // namespace tessera::server
