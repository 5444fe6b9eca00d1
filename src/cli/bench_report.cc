#include "cli/bench_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/machine.h"
#include "base/median.h"
#include "cli/commit.h"
#include "cli/terminal.h"

namespace tessera::cli {

double percent(double part, double whole) {
  return whole > 0 ? 100 * part / whole : 0;
}

namespace {

// Float weights on the CPU's tile unit: three products of bfloat16 for one of float32.
bool multiplies_terms(const BenchRun& run, const MachineLimits& limits) {
  return !run.on_card && !run.integer_products && limits.bf16_ops.unit == "tdpbf16ps";
}

}  // namespace

double peak_of(const BenchRun& run, const MachineLimits& limits) {
  if (run.on_card) return limits.card_bf16_ops;
  if (multiplies_terms(run, limits)) return limits.bf16_ops.all_threads / 3;
  return (run.integer_products ? limits.int8_ops : limits.f32_ops).all_threads;
}

const char* peak_name(const BenchRun& run, const MachineLimits& limits) {
  if (multiplies_terms(run, limits)) return "bf16/3";
  return run.on_card ? "bf16" : run.integer_products ? "int8" : "f32";
}

double bandwidth_of(const BenchRun& run, const MachineLimits& limits) {
  return run.on_card ? limits.card_read_bytes : limits.read_bytes.all_threads;
}

namespace {

using nlohmann::json;
using Kind = BenchTest::Kind;

constexpr double kGiB = 1 << 30;

/// Whether a pass reads the weights for a row or a few, so that reading them is the limit.
bool reads(const BenchRun& run) {
  return run.test.kind == Kind::kGenerate || run.test.kind == Kind::kRows;
}

struct Figures {
  double median = 0, min = 0, max = 0;                 // tokens a second
  double gflop_per_s = 0, percent_of_peak = 0;         // of the median
  double read_gb_per_s = 0, percent_of_bandwidth = 0;  // 0 for prompts, which read the weights once a chunk
};

Figures figures_of(const BenchRun& run, const MachineLimits& limits) {
  const double seconds = median_of(run.seconds), tokens = run.test.tokens;
  Figures f;
  f.median = tokens / seconds;
  f.min = tokens / *std::max_element(run.seconds.begin(), run.seconds.end());
  f.max = tokens / *std::min_element(run.seconds.begin(), run.seconds.end());
  f.gflop_per_s = run.operations / seconds / 1e9;
  f.percent_of_peak = percent(f.gflop_per_s * 1e9, peak_of(run, limits));
  if (reads(run)) {
    const double passes = run.test.kind == Kind::kGenerate ? tokens : 1;
    f.read_gb_per_s = static_cast<double>(run.weight_bytes) * passes / seconds / 1e9;
    f.percent_of_bandwidth = percent(f.read_gb_per_s * 1e9, bandwidth_of(run, limits));
  }
  return f;
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kPrompt:
      return "prompt";
    case Kind::kGenerate:
      return "generate";
    case Kind::kRows:
      return "rows";
    case Kind::kImage:
      return "image";
  }
  return "";
}

std::string now() {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

std::string machine() {
  const std::string cpu = cpu_name();
  return cpu.empty() ? "unknown CPU" : cpu;
}

json rate_json(const MachineLimits::Rate& rate) {
  return {{"unit", rate.unit}, {"one_thread", rate.one_thread}, {"all_threads", rate.all_threads}};
}

json limits_object(const MachineLimits& limits) {
  return {{"threads", limits.threads},
          {"read_buffer_bytes", limits.read_buffer_bytes},
          {"read_bytes_per_s", rate_json(limits.read_bytes)},
          {"int8_ops_per_s", rate_json(limits.int8_ops)},
          {"f32_ops_per_s", rate_json(limits.f32_ops)},
          {"bf16_ops_per_s", rate_json(limits.bf16_ops)},
          {"card", limits.card},
          {"card_read_bytes_per_s", limits.card_read_bytes},
          {"card_bf16_ops_per_s", limits.card_bf16_ops}};
}

json machine_json() {
  return {{"cpu", machine()}, {"cores", cpu_cores()}, {"memory_bytes", memory_bytes()}};
}

json run_json(const BenchRun& run, const MachineLimits& limits) {
  const Figures f = figures_of(run, limits);
  json out = {{"test", bench_test_name(run.test)},
              {"kind", kind_name(run.test.kind)},
              {"tokens", run.test.tokens},
              {"depth", run.test.depth},
              {"tokens_per_s", {{"median", f.median}, {"min", f.min}, {"max", f.max}}},
              {"seconds", run.seconds},
              {"gflop_per_s", f.gflop_per_s},
              {"percent_of_peak", f.percent_of_peak},
              {"peak", peak_name(run, limits)}};
  if (reads(run)) {
    out["read_gb_per_s"] = f.read_gb_per_s;
    out["percent_of_bandwidth"] = f.percent_of_bandwidth;
  }
  return out;
}

std::string csv_text(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == ',' || c == '"' || c == '\n'; }, ' ');
  return text;
}

}  // namespace

std::string bench_test_name(const BenchTest& test) {
  const char* name = test.kind == Kind::kPrompt     ? "pp"
                     : test.kind == Kind::kGenerate ? "tg"
                     : test.kind == Kind::kRows     ? "rows"
                                                    : "image";
  return fmt::format("{}{}{}", name, test.tokens, test.depth > 0 ? fmt::format(" @ d{}", test.depth) : "");
}

std::string bench_table(const BenchReport& report) {
  const BenchRun& any = report.runs.front();
  std::string text =
      fmt::format("{}: {}, {} parameters, {} of weights a pass · {} · {}\n", report.model, report.format,
                  short_count(report.parameters), short_bytes(any.weight_bytes), any.backend, machine());
  text +=
      fmt::format("ready in {:.2f} s, peak memory {}\n\n", report.load_s, short_bytes(report.peak_rss_bytes));
  text += fmt::format("{:<16}{:>10}{:>22}{:>11}{:>9}{:>10}{:>9}\n", "test", "tokens/s", "min … max",
                      "GFLOP/s", fmt::format("% {}", peak_name(any, report.limits)), "GB/s", "% read");
  for (const BenchRun& run : report.runs) {
    const Figures f = figures_of(run, report.limits);
    const bool computes = run.test.kind != Kind::kGenerate;
    const auto cell = [](bool shown, double value) {
      return shown ? fmt::format("{:.1f}", value) : std::string();
    };
    std::string line =
        fmt::format("{:<16}{:>10.2f}{:>22}{:>11}{:>9}{:>10}{:>9}", bench_test_name(run.test), f.median,
                    fmt::format("{:.2f} … {:.2f}", f.min, f.max), cell(computes, f.gflop_per_s),
                    cell(computes, f.percent_of_peak), cell(reads(run), f.read_gb_per_s),
                    cell(reads(run), f.percent_of_bandwidth));
    text += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }
  return text + "\n" + limits_table(report.limits);
}

std::string bench_json(const BenchReport& report) {
  const BenchRun& any = report.runs.front();
  json tests = json::array();
  for (const BenchRun& run : report.runs) tests.push_back(run_json(run, report.limits));
  const json out = {{"version", TESSERA_VERSION},
                    {"commit", built_from_commit()},
                    {"date", now()},
                    {"machine", machine_json()},
                    {"model",
                     {{"name", report.model},
                      {"format", report.format},
                      {"parameters", report.parameters},
                      {"weight_bytes_per_pass", any.weight_bytes}}},
                    {"backend", any.backend},
                    {"threads", report.threads},
                    {"chunk_tokens", report.chunk_tokens},
                    {"context_tokens", report.context_tokens},
                    {"load_s", report.load_s},
                    {"peak_rss_bytes", report.peak_rss_bytes},
                    {"tests", std::move(tests)},
                    {"limits", limits_object(report.limits)}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string bench_csv_header() {
  return "date,commit,cpu,cores,memory_gib,model,format,weight_gb,backend,chunk,test,tokens,depth,repeats,"
         "tok_s_median,tok_s_min,tok_s_max,gflop_s,percent_of_peak,read_gb_s,percent_of_bandwidth,load_s,"
         "peak_rss_gib,limit_read_gb_s,limit_int8_gop_s,limit_f32_gflop_s\n";
}

std::string bench_csv(const BenchReport& report) {
  std::string text;
  const std::string date = now();
  const MachineLimits& limits = report.limits;
  for (const BenchRun& run : report.runs) {
    const Figures f = figures_of(run, limits);
    text += fmt::format(
        "{},{},{},{},{:.1f},{},{},{:.3f},{},{},{},{},{},{},{:.3f},{:.3f},{:.3f},{:.1f},{:.1f},{:.1f},{:.1f},{"
        ":.2f},"
        "{:.2f},{:.1f},{:.1f},{:.1f}\n",
        date, built_from_commit(), csv_text(machine()), cpu_cores(),
        static_cast<double>(memory_bytes()) / kGiB, csv_text(report.model), csv_text(report.format),
        static_cast<double>(run.weight_bytes) / 1e9, csv_text(run.backend), report.chunk_tokens,
        bench_test_name(run.test), run.test.tokens, run.test.depth, run.seconds.size(), f.median, f.min,
        f.max, f.gflop_per_s, f.percent_of_peak, f.read_gb_per_s, f.percent_of_bandwidth, report.load_s,
        static_cast<double>(report.peak_rss_bytes) / kGiB, bandwidth_of(run, limits) / 1e9,
        limits.int8_ops.all_threads / 1e9, limits.f32_ops.all_threads / 1e9);
  }
  return text;
}

std::string limits_table(const MachineLimits& limits) {
  std::string text;
  if (limits.threads > 0)
    text += fmt::format("{:<26}{:>12}{:>12}   {}\n", "limits, best of bursts", "1 thread",
                        fmt::format("{} threads", limits.threads), machine());
  const auto row = [&](const char* name, const MachineLimits::Rate& rate, const char* unit) {
    if (rate.unit.empty()) return;
    text += fmt::format("{:<26}{:>12.1f}{:>12.1f}   {}, {}\n", name, rate.one_thread / 1e9,
                        rate.all_threads / 1e9, unit, rate.unit);
  };
  row("read bandwidth", limits.read_bytes, "GB/s");
  row("int8 multiply-adds", limits.int8_ops, "Gop/s");
  row("float32 multiply-adds", limits.f32_ops, "GFLOP/s");
  row("bfloat16 multiply-adds", limits.bf16_ops, "GFLOP/s");
  if (!limits.card.empty()) {
    text += fmt::format("{:<26}{:>24.1f}   GB/s, {}\n", "card: read bandwidth", limits.card_read_bytes / 1e9,
                        limits.card);
    text += fmt::format("{:<26}{:>24.1f}   TFLOP/s, products of 8192\n", "card: bfloat16",
                        limits.card_bf16_ops / 1e12);
  }
  return text;
}

std::string limits_json(const MachineLimits& limits) {
  const json out = {{"date", now()}, {"machine", machine_json()}, {"limits", limits_object(limits)}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string limits_csv(const MachineLimits& limits) {
  std::string text = "limit,unit,threads,per_s\n";
  const auto rows = [&](const char* name, const MachineLimits::Rate& rate) {
    if (rate.unit.empty()) return;
    text += fmt::format("{},{},1,{:.4g}\n{},{},{},{:.4g}\n", name, rate.unit, rate.one_thread, name,
                        rate.unit, limits.threads, rate.all_threads);
  };
  rows("read_bytes", limits.read_bytes);
  rows("int8_ops", limits.int8_ops);
  rows("f32_ops", limits.f32_ops);
  rows("bf16_ops", limits.bf16_ops);
  if (!limits.card.empty())
    text += fmt::format("read_bytes,{0},,{1:.4g}\nbf16_ops,{0},,{2:.4g}\n", csv_text(limits.card),
                        limits.card_read_bytes, limits.card_bf16_ops);
  return text;
}

}  // namespace tessera::cli
