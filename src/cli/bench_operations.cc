#include "cli/bench_operations.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/median.h"
#include "cli/bench_report.h"

namespace tessera::cli {
namespace {

using nlohmann::json;
using Moved = OperationBenchRun::Kind;

// All kinds, and what a step takes without any.
Moved together(const OperationBenchRun& run) {
  Moved sum{.name = "together", .seconds = run.empty_step_seconds};
  for (const Moved& k : run.kinds) sum += k;
  return sum;
}

double per_second(double amount, double seconds) {
  return seconds > 0 ? amount / seconds : 0;
}

std::string title_of(const BenchTest& test) {
  const std::string depth = fmt::format("at a depth of {}", test.depth);
  if (test.kind == BenchTest::Kind::kGenerate) return "a step of an answer, one row " + depth;
  if (test.kind == BenchTest::Kind::kPrompt)
    return fmt::format("a step of a prompt, {} rows {}", test.tokens, depth);
  return fmt::format("a step of {} rows with the logits of each {}", test.tokens, depth);
}

class Table {
 public:
  Table(const OperationBenchRun& run, const MachineLimits& limits)
      : run_(run), limits_(limits), step_s_(median_of(run.step.seconds)) {}

  std::string text() const {
    std::string out = title_of(run_.step.test) + "\n";
    out += fmt::format("{:<16}{:>6}{:>11}{:>10}{:>10}{:>11}{:>8}{:>9}{:>8}", "operation", "calls",
                       "weights MB", "KV MB", "activ. MB", "ms", "% step", "GB/s", "% read");
    if (computes())
      out += fmt::format("{:>11}{:>8}", "GFLOP/s", fmt::format("% {}", peak_name(run_.step, limits_)));
    out += "\n";
    for (const Moved& k : run_.kinds) out += row(k);
    if (run_.empty_step_seconds > 0)
      out += row({.name = "none: plan, wait", .seconds = run_.empty_step_seconds});
    const Moved sum = together(run_);
    out += row(sum);
    Moved step = sum;
    step.name = "the whole step";
    step.seconds = step_s_;
    return out + row(step);
  }

 private:
  bool computes() const { return run_.step.test.kind != BenchTest::Kind::kGenerate; }

  std::string row(const Moved& k) const {
    const auto megabytes = [](int64_t bytes) {
      return bytes > 0 ? fmt::format("{:.3f}", static_cast<double>(bytes) / 1e6) : std::string();
    };
    const auto rate = [](double value) { return value > 0 ? fmt::format("{:.1f}", value) : std::string(); };
    const double bytes_s = per_second(static_cast<double>(k.bytes()), k.seconds),
                 ops_s = per_second(k.operations, k.seconds);
    std::string line =
        fmt::format("{:<16}{:>6}{:>11}{:>10}{:>10}{:>11.4f}{:>8.1f}{:>9}{:>8}", k.name,
                    k.calls > 0 ? fmt::format("{}", k.calls) : "", megabytes(k.weight_bytes),
                    megabytes(k.kv_read_bytes + k.kv_written_bytes),
                    megabytes(k.read_bytes + k.written_bytes), k.seconds * 1e3, percent(k.seconds, step_s_),
                    rate(bytes_s / 1e9), rate(percent(bytes_s, bandwidth_of(run_.step, limits_))));
    if (computes())
      line +=
          fmt::format("{:>11}{:>8}", rate(ops_s / 1e9), rate(percent(ops_s, peak_of(run_.step, limits_))));
    return line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }

  const OperationBenchRun& run_;
  const MachineLimits& limits_;
  double step_s_;
};

json kind_json(const Moved& k, const OperationBenchRun& run, const MachineLimits& limits) {
  const double bytes_s = per_second(static_cast<double>(k.bytes()), k.seconds),
               ops_s = per_second(k.operations, k.seconds);
  return {{"name", k.name},
          {"calls", k.calls},
          {"weight_bytes", k.weight_bytes},
          {"kv_read_bytes", k.kv_read_bytes},
          {"kv_written_bytes", k.kv_written_bytes},
          {"read_bytes", k.read_bytes},
          {"written_bytes", k.written_bytes},
          {"seconds", k.seconds},
          {"percent_of_step", percent(k.seconds, median_of(run.step.seconds))},
          {"gb_per_s", bytes_s / 1e9},
          {"percent_of_bandwidth", percent(bytes_s, bandwidth_of(run.step, limits))},
          {"gflop_per_s", ops_s / 1e9},
          {"percent_of_peak", percent(ops_s, peak_of(run.step, limits))}};
}

}  // namespace

std::string operations_table(const OperationReport& report) {
  const BenchRun& any = report.runs.front().step;
  std::string text = fmt::format("{}: {} · {}\n", report.model, report.format, any.backend);
  text += any.on_card ? "each kind timed alone, in steps that have its calls only, less a step of none\n"
                      : "each call timed in its step\n";
  for (const OperationBenchRun& run : report.runs) text += "\n" + Table(run, report.limits).text();
  return text + "\n" + limits_table(report.limits);
}

std::string operations_json(const OperationReport& report) {
  json out = json::parse(limits_json(report.limits));
  const BenchRun& any = report.runs.front().step;
  out["model"] = {{"name", report.model}, {"format", report.format}};
  out["backend"] = any.backend;
  out["timed"] = any.on_card ? "alone" : "in the step";
  out["peak"] = peak_name(any, report.limits);
  for (const OperationBenchRun& run : report.runs) {
    json kinds = json::array();
    for (const Moved& k : run.kinds) kinds.push_back(kind_json(k, run, report.limits));
    out["steps"].push_back({{"test", bench_test_name(run.step.test)},
                            {"rows", run.step.test.tokens},
                            {"depth", run.step.test.depth},
                            {"seconds", run.step.seconds},
                            {"empty_step_seconds", run.empty_step_seconds},
                            {"together", kind_json(together(run), run, report.limits)},
                            {"operations", std::move(kinds)}});
  }
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace tessera::cli
