#pragma once
// What `tessera bench` found, as a table, JSON, and lines of CSV.
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera::cli {

struct BenchReport {
  std::string model, format;  // "gemma-4-12b", "BF16": the number format of most bytes
  int64_t parameters = 0, context_tokens = 0, peak_rss_bytes = 0;
  int chunk_tokens = 0, threads = 0;
  double load_s = 0;
  std::vector<BenchRun> runs;
  MachineLimits limits;
};

double percent(double part, double whole);  // 0 of nothing
/// The machine's limits where the run was: bytes read a second; operations a second of the kind that its
/// products are of, "int8", "f32" …
double bandwidth_of(const BenchRun& run, const MachineLimits& limits);
double peak_of(const BenchRun& run, const MachineLimits& limits);
const char* peak_name(const BenchRun& run, const MachineLimits& limits);

std::string bench_table(const BenchReport& report);
std::string bench_json(const BenchReport& report);
/// One line for each test under bench_csv_header(); both end with a newline.
std::string bench_csv(const BenchReport& report);
std::string bench_csv_header();

std::string limits_table(const MachineLimits& limits);
std::string limits_json(const MachineLimits& limits);
std::string limits_csv(const MachineLimits& limits);

/// "pp512", "tg128 @ d4096", "rows4": names as llama-bench's readers know them.
std::string bench_test_name(const BenchTest& test);

}  // namespace tessera::cli
