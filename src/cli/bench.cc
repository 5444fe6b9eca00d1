// tessera bench: tokens a second of prompts, answers and checks of several rows, beside what the machine can
// do.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/machine.h"
#include "cli/bench_drafts.h"
#include "cli/bench_operations.h"
#include "cli/bench_parallel.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/model_path.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

namespace fs = std::filesystem;
using Kind = BenchTest::Kind;

constexpr int kMaxTokens = 1 << 20;
constexpr int kAroundDrafts = 64;
constexpr int64_t kLeastContext = 16, kAroundPicture = 32;  // markers and text of a picture's prompt

struct BenchFlags {
  std::string model, output = "table", record;
  std::vector<int> prompts = {512}, answers = {128}, rows, pictures, depths = {0}, parallel;
  std::vector<double> shares;  // of accepted drafts
  int repeats = 5;
  bool limits_only = false, operations = false;
  EngineFlags engine;
};

std::vector<BenchTest> tests_of(const BenchFlags& flags) {
  std::vector<BenchTest> tests;
  for (const int depth : flags.depths) {
    const auto add = [&](Kind kind, const std::vector<int>& counts) {
      for (const int tokens : counts)
        if (tokens > 0) tests.push_back({kind, tokens, depth});
    };
    add(Kind::kPrompt, flags.prompts);
    add(Kind::kGenerate, flags.answers);
    add(Kind::kRows, flags.rows);
  }
  for (const int tokens : flags.pictures)
    if (tokens > 0) tests.push_back({Kind::kImage, tokens, 0});
  if (tests.empty()) throw UsageError("nothing to measure: -p, -n, --rows and --image-tokens are all 0");
  return tests;
}

std::string format_of(const ModelInfo& info) {
  return info.dtypes.empty() ? std::string("unknown") : info.dtypes.front().dtype;
}

std::string name_of(const std::string& path) {
  const fs::path given = fs::path(path).lexically_normal();
  return (given.has_filename() ? given : given.parent_path()).filename().string();
}

/// Opened before anything is measured, so that a long run is not lost to a wrong path. Throws Error(kIo),
/// Error(kBadRequest) for a file of other columns.
class Record {
 public:
  explicit Record(const std::string& path) : path_(path) {
    std::string first;
    std::ifstream in(path);
    std::getline(in, first);
    is_new_ = first.empty();
    if (!is_new_ && first + "\n" != bench_csv_header())
      throw_error(ErrorKind::kBadRequest,
                  "{}: its first line is not this version's list of columns; record to a new file", path);
    out_.open(path, std::ios::app);
    if (!out_) throw_error(ErrorKind::kIo, "{}: cannot be written; is its folder there?", path);
  }
  void append(const BenchReport& report) {
    out_ << (is_new_ ? bench_csv_header() : "") << bench_csv(report) << std::flush;
    if (!out_) throw_error(ErrorKind::kIo, "{}: cannot append; is the disk full?", path_);
  }

 private:
  std::string path_;
  std::ofstream out_;
  bool is_new_ = false;
};

void print(const std::string& output, const std::string& table, const std::string& json,
           const std::string& csv) {
  write_out(output == "json" ? json : output == "csv" ? csv : table);
}

int print_limits(const BenchFlags& flags) {
  if (!flags.model.empty() || !flags.record.empty())
    throw UsageError("--limits measures the machine alone: it takes no model and no --record");
  MachineLimits limits = measure_limits(flags.engine.options.threads, flags.engine.options.isa);
  if (why_no_card().empty()) {
    const MachineLimits card = measure_card_limits(flags.engine.options.device);
    limits.card = card.card;
    limits.card_read_bytes = card.card_read_bytes;
    limits.card_bf16_ops = card.card_bf16_ops;
  }
  print(flags.output, limits_table(limits), limits_json(limits), limits_csv(limits));
  return kExitOk;
}

// What several cards can do together is what one can, so many times.
MachineLimits limits_of_cards(const EngineOptions& o) {
  MachineLimits limits = measure_card_limits(o.device);
  if (o.gpus > 1) limits.card = fmt::format("{} × {}", o.gpus, limits.card);
  limits.card_read_bytes *= o.gpus;
  limits.card_bf16_ops *= o.gpus;
  return limits;
}

MachineLimits limits_beside(const BenchRun& run, const Engine& engine, const BenchFlags& flags) {
  return run.on_card ? limits_of_cards(flags.engine.options)
                     : measure_limits(engine.options().threads, flags.engine.options.isa);
}

int run_parallel(BenchFlags& flags) {
  if (flags.output != "table" || !flags.record.empty())
    throw UsageError("--parallel prints a table: it takes no -o and no --record");
  const int prompt = std::max(1, flags.prompts.front()), answer = std::max(1, flags.answers.front());
  EngineOptions& o = flags.engine.options;
  o.parallel = std::max(1, *std::max_element(flags.parallel.begin(), flags.parallel.end()));
  o.context_tokens = std::max<int64_t>(kLeastContext, int64_t{prompt} + answer);
  std::erase_if(flags.parallel, [](int n) { return n < 1; });
  if (flags.parallel.empty()) throw UsageError("--parallel: name at least one number of sessions");
  const auto engine = load_engine(resolve_model(flags.model), flags.engine);
  write_out(parallel_table(bench_parallel(engine, flags.parallel, prompt, answer, flags.repeats)));
  return kExitOk;
}

int run_drafts(BenchFlags& flags) {
  if (flags.answers.size() != 1 || flags.depths.size() != 1)
    throw UsageError("--draft measures answers of one length at one depth: -n N -d N");
  DraftBenchOptions options;
  options.shares = flags.shares;
  options.tokens = std::max(flags.answers.front(), 1);
  options.depth = flags.depths.front();
  flags.engine.options.draft = -1;
  flags.engine.options.context_tokens = options.depth + options.tokens + kAroundDrafts;
  const auto engine = load_engine(resolve_model(flags.model), flags.engine);
  Progress progress("measuring");
  options.on_progress = [&](double fraction) { progress.update(fraction); };
  const DraftBenchRun run = bench_drafts(*engine, options);
  progress.clear();
  write_out(flags.output == "json" ? draft_json(run) : draft_table(run));
  return kExitOk;
}

int64_t context_for(const std::vector<BenchTest>& tests) {
  int64_t context = kLeastContext;
  for (const BenchTest& t : tests)
    context = std::max(context, int64_t{t.depth} + t.tokens + (t.kind == Kind::kImage ? kAroundPicture : 0));
  return context;
}

int run_operations(BenchFlags& flags) {
  if (flags.limits_only || !flags.parallel.empty() || !flags.shares.empty() || !flags.pictures.empty())
    throw UsageError(
        "--operations takes steps of answers, prompts and --rows apart: it does not go with --limits, "
        "--parallel, --draft or --image-tokens");
  if (flags.output == "csv" || !flags.record.empty())
    throw UsageError("--operations prints a table or JSON: it takes no -o csv and no --record");
  // An answer's steps differ by their depth only.
  const bool answers = std::any_of(flags.answers.begin(), flags.answers.end(), [](int n) { return n > 0; });
  flags.answers = {answers ? 1 : 0};
  const std::vector<BenchTest> tests = tests_of(flags);
  flags.engine.options.context_tokens = context_for(tests);
  const auto engine = load_engine(resolve_model(flags.model), flags.engine);
  OperationReport report{name_of(engine->info().path), format_of(engine->info()), {}, {}};
  Progress progress("measuring");
  for (size_t i = 0; i < tests.size(); ++i) {
    const auto on_progress = [&](double fraction) {
      progress.update((static_cast<double>(i) + fraction) / static_cast<double>(tests.size()),
                      bench_test_name(tests[i]));
    };
    report.runs.push_back(bench_operations(*engine, {tests[i], flags.repeats, on_progress}));
  }
  report.limits = limits_beside(report.runs.front().step, *engine, flags);
  progress.clear();
  write_out(flags.output == "json" ? operations_json(report) : operations_table(report));
  return kExitOk;
}

int run_bench(BenchFlags& flags) {
  if (flags.operations) return run_operations(flags);
  if (flags.limits_only) return print_limits(flags);
  if (!flags.parallel.empty()) return run_parallel(flags);
  if (!flags.shares.empty()) return run_drafts(flags);
  const std::vector<BenchTest> tests = tests_of(flags);
  const int64_t context = context_for(tests);
  flags.engine.options.context_tokens = context;
  const std::string path = resolve_model(flags.model);
  std::optional<Record> record;
  if (!flags.record.empty()) record.emplace(flags.record);
  const auto start = std::chrono::steady_clock::now();
  const auto engine = load_engine(path, flags.engine);
  BenchReport report;
  report.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.model = name_of(path);
  report.format = format_of(engine->info());
  report.parameters = engine->info().total_parameters;
  report.context_tokens = context;
  report.chunk_tokens = engine->options().chunk_tokens;
  report.threads = engine->options().threads;

  Progress progress("measuring");
  for (size_t i = 0; i < tests.size(); ++i) {
    const std::string name = bench_test_name(tests[i]);
    const auto on_progress = [&](double fraction) {
      progress.update((static_cast<double>(i) + fraction) / static_cast<double>(tests.size()), name);
    };
    report.runs.push_back(bench(*engine, {tests[i], flags.repeats, on_progress}));
  }
  // Before the limits: they take a large buffer.
  report.peak_rss_bytes = peak_rss_bytes();
  report.limits = limits_beside(report.runs.front(), *engine, flags);
  progress.clear();
  print(flags.output, bench_table(report), bench_json(report), bench_csv_header() + bench_csv(report));
  if (record) record->append(report);
  return kExitOk;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "bench", "Measure tokens per second of prompts and answers beside what the machine can do.",
      "[MODEL]",
      "  tessera bench path/to/model\n"
      "  tessera bench path/to/model -p 512,2048 -n 128 -d 0,4096 -r 3\n"
      "  tessera bench path/to/model -p 0 -n 0 --rows 1,2,4,8      # passes over several rows\n"
      "  tessera bench path/to/model -o json --record bench/records/desk.csv\n"
      "  tessera bench path/to/model --draft 0,0.3,0.6,0.9         # 0 to 8 drafts a step\n"
      "  tessera bench path/to/model --operations -d 4096          # where a step's time goes\n"
      "  tessera bench --limits                                   # of the machine, no model\n");
  auto flags = std::make_shared<BenchFlags>();
  flags->engine.options.draft = 0;
  command
      .add_option("MODEL", flags->model,
                  "model directory or .gguf file (default: the one that comes with Tessera)")
      ->type_name("");
  add_model_flag(command, flags->model);
  const auto list = [&](const char* name, std::vector<int>& values, const char* help) {
    command.add_option(name, values, help)
        ->type_name("LIST")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(0, kMaxTokens));
  };
  list("-p,--prompt", flags->prompts, "tokens of the prompts, for example 128,512; 0: none (default: 512)");
  list("-n,--generate", flags->answers, "tokens of the answers; 0: none (default: 128)");
  list("-d,--depth", flags->depths, "tokens in the KV cache before each (default: 0)");
  list("--rows", flags->rows,
       "rows of single passes with logits for all, as a drafter's check (default: none)");
  list("--parallel", flags->parallel,
       "conversations at once, for example 1,8: their tokens a second together; the first -p and -n");
  list("--image-tokens", flags->pictures,
       "soft tokens of a picture of random pixels, to the first token (default: none)");
  command
      .add_option("--draft", flags->shares,
                  "drafting and verifying, with drafts accepted with these probabilities (default: none)")
      ->type_name("LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 1.0));
  command.add_flag(
      "--operations", flags->operations,
      "a step of an answer, and of the prompts that -p names, by kind of operation: bytes and time");
  command
      .add_option("--draft-model", flags->engine.options.draft_model,
                  "the model's drafter, for --draft (default: the one beside it)")
      ->type_name("PATH");
  command
      .add_option("-r,--repeats", flags->repeats,
                  "times each is measured, after one that is not (default: 5)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command.add_option("-o,--output", flags->output, "table, json or csv (default: table)")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json", "csv"}));
  command.add_option("--record", flags->record, "append one line of CSV for each test to FILE")
      ->type_name("FILE");
  command.add_flag("--limits", flags->limits_only, "measure the machine only: bandwidth and multiply-adds");
  add_chunk_flag(command, flags->engine);
  add_compute_flags(command, flags->engine);
  command.callback([flags, &command, &action] {
    if (flags->operations && command.count("--prompt") == 0) flags->prompts = {};
    action = [flags] { return run_bench(*flags); };
  });
}

}  // namespace tessera::cli
