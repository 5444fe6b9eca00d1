#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace tessera::server {

void Histogram::add(double seconds) {
  const auto at = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  ++counts_[static_cast<size_t>(at)];
  sum_us_ += static_cast<int64_t>(seconds * 1e6);
}

std::string Histogram::text(const std::string& name, const std::string& help) const {
  std::string out = fmt::format("# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  int64_t total = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    total += counts_[i];
    out += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, kBounds[i], total);
  }
  total += counts_[kBounds.size()];
  return out + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name, total,
                           static_cast<double>(sum_us_) / 1e6);
}

void Metrics::request(const std::string& route, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
}

std::string Metrics::text(const std::map<std::string, double>& gauges) const {
  std::string out =
      "# HELP tessera_requests_total Requests answered.\n# TYPE tessera_requests_total counter\n";
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, count] : requests_) {
      out += fmt::format("tessera_requests_total{{route=\"{}\",status=\"{}\"}} {}\n", key.first, key.second,
                         count);
    }
  }
  const auto counter = [&](const char* name, const char* help, double value) {
    out += fmt::format("# HELP tessera_{0} {1}\n# TYPE tessera_{0} counter\ntessera_{0} {2}\n", name, help,
                       value);
  };
  const auto count = [](const std::atomic<int64_t>& value) { return static_cast<double>(value.load()); };
  counter("prompt_tokens_total", "Tokens of prompts, those found in the cache included.",
          count(prompt_tokens));
  counter("cached_tokens_total", "Tokens of prompts that were in the cache.", count(cached_tokens));
  counter("completion_tokens_total", "Tokens generated.", count(completion_tokens));
  counter("prefill_seconds_total", "Time spent on prompts, summed over requests.", count(prefill_us) / 1e6);
  counter("generate_seconds_total", "Time spent on answers, summed over requests.", count(generate_us) / 1e6);
  counter("cancelled_total", "Requests whose client left.", count(cancelled));
  counter("rejected_total", "Requests refused because the queue was full.", count(rejected));
  out += first_token_s.text("tessera_first_token_seconds", "From the request to its first token.");
  out += inter_token_s.text("tessera_inter_token_seconds",
                            "Between tokens of a stream, as the server sends them.");
  out += request_s.text("tessera_request_seconds", "From the request to the end of its answer.");
  out += fmt::format(
      "# HELP tessera_requests_active Requests that generate or wait to.\n# TYPE "
      "tessera_requests_active gauge\ntessera_requests_active {}\n",
      active.load());
  for (const auto& [name, value] : gauges) {
    out += fmt::format("# TYPE tessera_{0} gauge\ntessera_{0} {1}\n", name, value);
  }
  return out;
}

}  // namespace tessera::server
