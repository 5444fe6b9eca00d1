// Times one kind of work on a loaded model: what `tessera bench` prints.
#include <chrono>
#include <cmath>
#include <mutex>
#include <random>

#include "base/error.h"
#include "base/median.h"
#include "engine/operation_trace.h"
#include "engine/stepper.h"
#include "media/media.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = BenchTest::Kind;

constexpr int kMaxRepeats = 10'000, kImageTextTokens = 16;
constexpr int64_t kRowsPerRepeat = 16;  // of a step that is taken apart: one row is measured so many times

void check(const EngineImpl& engine, const BenchOptions& options) {
  const BenchTest& test = options.test;
  if (test.tokens < 1)
    throw_error(ErrorKind::kBadRequest, "bench of {} tokens, expected 1 or more", test.tokens);
  if (test.depth < 0)
    throw_error(ErrorKind::kBadRequest, "bench at a depth of {} tokens, expected 0 or more", test.depth);
  if (options.repeats < 1 || options.repeats > kMaxRepeats)
    throw_error(ErrorKind::kBadRequest, "bench of {} repeats, expected 1 … {}", options.repeats, kMaxRepeats);
  // of a picture: its two markers, too
  const int64_t needed =
      int64_t{test.depth} + test.tokens + (test.kind == Kind::kImage ? kImageTextTokens + 2 : 0);
  if (test.kind == Kind::kImage && (test.depth > 0 || test.tokens > kMaxVisionBlock))
    throw_error(ErrorKind::kBadRequest,
                "bench of a picture of {} tokens at a depth of {}, expected 1 … {} at 0", test.tokens,
                test.depth, kMaxVisionBlock);
  if (needed > engine.options.context_tokens)
    throw_error(ErrorKind::kTooLarge,
                "bench of {} tokens at a depth of {} needs {} of context, the engine has {}", test.tokens,
                test.depth, needed, engine.options.context_tokens);
  if (test.kind == Kind::kRows && test.tokens > engine.max_step_tokens())
    throw_error(ErrorKind::kTooLarge,
                "bench of {} rows at once, a step of this engine has at most {}; use a larger "
                "chunk",
                test.tokens, engine.max_step_tokens());
}

std::vector<int32_t> random_tokens(const ModelConfig& config, int64_t count) {
  std::mt19937 random(1);  // the same tokens every time
  std::vector<int32_t> ids;
  while (static_cast<int64_t>(ids.size()) < count) {
    const auto id = static_cast<int32_t>(random() % static_cast<uint32_t>(config.vocab));
    if (id != config.image_token && id != config.audio_token && id != config.video_token) ids.push_back(id);
  }
  return ids;
}

/// Parameters that each row is multiplied with, the output matrix apart.
int64_t row_parameters(const Model& model) {
  int64_t sum = 0;
  for (const Layer& l : model.layers)
    for (const Weight& w : {l.w_qkv, l.w_o, l.w_gate_up, l.w_down}) sum += w.rows * w.cols;
  return sum;
}

double operations(const Model& model, const BenchTest& test) {
  const int64_t logit_rows = test.kind == Kind::kPrompt || test.kind == Kind::kImage ? 1 : test.tokens;
  const int64_t head = model.tok_embed.rows * model.tok_embed.cols;
  return 2.0 *
         (static_cast<double>(row_parameters(model)) * test.tokens + static_cast<double>(head * logit_rows));
}

// Whether the backend multiplies bytes: bfloat16 takes 16 bits a value, the widest packed format 8 and its
// scales.
bool integer_products(const EngineImpl& engine) {
  constexpr int64_t kBits = 12;
  return engine.options.backend != "cuda" &&
         engine.model.text_bytes * 8 < engine.info.text_parameters * kBits;
}

/// A picture of `tokens` patches, as near to a square as they allow.
std::shared_ptr<const MediaData> random_picture(int tokens) {
  int rows = static_cast<int>(std::sqrt(static_cast<double>(tokens)));
  while (tokens % rows != 0) --rows;
  auto data = std::make_shared<MediaData>();
  Patches patches{tokens / rows, rows, {}};
  std::mt19937 random(2);
  patches.values.resize(static_cast<size_t>(tokens) * kPatchValues);
  for (float& v : patches.values) v = static_cast<float>(random() % 256) / 255;
  data->images.push_back(std::move(patches));
  return data;
}

/// Seconds from decoded pixels to the first token.
double time_picture(EngineImpl& impl, Stepper& stepper, Sequence& sequence,
                    const std::shared_ptr<const MediaData>& picture) {
  const auto start = Clock::now();
  sequence = Sequence(impl.config, impl.tokenizer);
  sequence.append_media(picture);
  sequence.append_tokens(random_tokens(impl.config, kImageTextTokens));
  stepper.prefill(0, sequence.size());
  std::vector<Candidate> first;
  impl.backend->candidates(impl.scratch->logits_of(0), {}, 1, first);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

BenchRun run_of(const EngineImpl& impl, const BenchTest& test) {
  return {test,
          impl.backend->describe(),
          {},
          operations(impl.model, test),
          impl.model.text_bytes,
          integer_products(impl),
          impl.options.backend == "cuda"};
}

void check_operations(const EngineImpl& impl, const BenchTest& test) {
  const EngineOptions& o = impl.options;
  if (test.kind == Kind::kImage)
    throw_error(ErrorKind::kBadRequest,
                "bench of operations of a picture; expected a prompt, an answer or rows");
  if (o.gpus > 1 || (o.backend == "cuda" && o.gpu_layers >= 0))
    throw_error(
        ErrorKind::kBadRequest,
        "bench of operations on {} cards with {} layers on the card: what they hand over is of no kind "
        "alone; measure with all layers on one card, or on the CPU",
        o.gpus, o.gpu_layers < 0 ? "all" : fmt::format("{}", o.gpu_layers));
  if (test.kind == Kind::kPrompt && test.tokens > o.chunk_tokens)
    throw_error(
        ErrorKind::kTooLarge,
        "bench of the operations of a prompt of {} tokens, a step of this engine has at most {}; use a "
        "larger chunk",
        test.tokens, o.chunk_tokens);
}

/// Seconds of one step, over and over at the same place, as it is and taken apart.
class StepParts {
 public:
  StepParts(EngineImpl& impl, const BenchTest& test)
      : impl_(impl),
        begin_(test.depth),
        end_(begin_ + test.tokens),
        logit_rows_(test.kind == Kind::kPrompt ? 1 : test.tokens),
        sequence_(impl.config, impl.tokenizer),
        trace_(*impl.backend, impl.model),
        stepper_(impl, fill()) {
    stepper_.prefill(0, begin_);
    step(trace_);  // what each kind moves
    for (size_t k = 0; k < kOperationKinds; ++k)
      kinds_.push_back(trace_.traced(static_cast<OperationKind>(k)));
    seconds_.resize(kOperationKinds);
    if (!on_card()) return;
    for (int i = 0; i < kRecorded; ++i) step(*impl_.backend);
    each_part([&](std::optional<OperationKind>) {
      for (int i = 0; i < kRecorded; ++i) step(trace_);
    });
  }

  /// Seconds of a whole step; the parts are measured beside it.
  double measure() { return on_card() ? measure_alone() : measure_in_step(); }

  void finish(OperationBenchRun& run) {
    run.empty_step_seconds = empty_.empty() ? 0 : median_of(empty_);
    for (size_t k = 0; k < kOperationKinds; ++k) {
      if (kinds_[k].calls == 0) continue;
      kinds_[k].seconds = median_of(seconds_[k]);
      run.kinds.push_back(kinds_[k]);
    }
  }

 private:
  static constexpr int kRecorded = 3;  // steps until one is replayed

  Sequence& fill() {
    sequence_.append_tokens(random_tokens(impl_.config, end_));
    return sequence_;
  }
  // Whole steps and those that are timed inside in turn: a machine that slows down is as slow to both.
  double measure_in_step() {
    double whole = 0;
    std::array<double, kOperationKinds> sums{};
    for (int64_t i = 0; i < steps(); ++i) {
      whole += time(*impl_.backend, 1);
      step(trace_);
      for (size_t k = 0; k < kOperationKinds; ++k)
        sums[k] += trace_.traced(static_cast<OperationKind>(k)).seconds;
    }
    const auto count = static_cast<double>(steps());
    for (size_t k = 0; k < kOperationKinds; ++k) seconds_[k].push_back(sums[k] / count);
    return whole / count;
  }
  double measure_alone() {
    const double whole = time(*impl_.backend, steps());
    each_part([&](std::optional<OperationKind> kind) {
      const double taken = time(trace_, steps());
      if (kind)
        seconds_[static_cast<size_t>(*kind)].push_back(std::max(0.0, taken - empty_.back()));
      else
        empty_.push_back(taken);
    });
    return whole;
  }

  bool on_card() const { return impl_.options.backend == "cuda"; }
  int64_t steps() const { return std::max<int64_t>(1, kRowsPerRepeat / (end_ - begin_)); }
  void step(Backend& with) { stepper_.step(with, begin_, end_, logit_rows_); }
  // Seconds of one of `count` steps.
  double time(Backend& with, int64_t count) {
    const auto start = Clock::now();
    for (int64_t i = 0; i < count; ++i) step(with);
    return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(count);
  }
  // part(kind) with steps of nothing, then of each kind that the step has.
  template <typename Part>
  void each_part(const Part& part) {
    std::vector<std::optional<OperationKind>> parts = {std::nullopt};
    for (size_t k = 0; k < kOperationKinds; ++k)
      if (kinds_[k].calls > 0) parts.emplace_back(static_cast<OperationKind>(k));
    for (const auto& kind : parts) {
      trace_.keep_only(kind);
      part(kind);
    }
  }

  EngineImpl& impl_;
  int64_t begin_, end_, logit_rows_;
  Sequence sequence_;
  OperationTrace trace_;
  Stepper stepper_;
  std::vector<OperationBenchRun::Kind> kinds_;
  std::vector<std::vector<double>> seconds_;  // [kinds][repeats]
  std::vector<double> empty_;
};

}  // namespace

BenchRun bench(const Engine& engine, const BenchOptions& options) {
  EngineImpl& impl = engine.impl();
  check(impl, options);
  const BenchTest& test = options.test;
  const int64_t depth = test.depth, end = depth + test.tokens;
  Sequence sequence(impl.config, impl.tokenizer);
  sequence.append_tokens(random_tokens(impl.config, end));

  const std::lock_guard turn(impl.turn);
  Stepper stepper(impl, sequence);
  bool filled = depth == 0;
  const auto picture = test.kind == Kind::kImage ? random_picture(test.tokens) : nullptr;
  const auto time = [&](int64_t until) {
    if (picture) return time_picture(impl, stepper, sequence, picture);
    if (!filled || (depth > 0 && !stepper.holds(depth))) stepper.prefill(0, depth);
    filled = true;
    const auto start = Clock::now();
    if (test.kind == Kind::kPrompt) stepper.prefill(depth, until);
    if (test.kind == Kind::kRows) stepper.step(depth, until, test.tokens);
    if (test.kind == Kind::kGenerate)
      for (int64_t p = depth; p < until; ++p) stepper.step(p, p + 1, 1);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };

  BenchRun run = run_of(impl, test);
  // One step of each size that is coming touches all memory and wakes the threads.
  time(test.kind == Kind::kGenerate ? depth + 1
                                    : std::min(end, sequence.step_end(depth, impl.options.chunk_tokens)));
  for (int i = 0; i < options.repeats; ++i) {
    if (options.on_progress) options.on_progress((i + 1.0) / (options.repeats + 1.0));
    run.seconds.push_back(time(end));
  }
  return run;
}

OperationBenchRun bench_operations(const Engine& engine, const BenchOptions& options) {
  EngineImpl& impl = engine.impl();
  BenchOptions one = options;
  if (one.test.kind == Kind::kGenerate) one.test.tokens = 1;
  check(impl, one);
  check_operations(impl, one.test);
  const std::lock_guard turn(impl.turn);
  StepParts parts(impl, one.test);
  OperationBenchRun run{run_of(impl, one.test), {}, 0};
  for (int i = 0; i < options.repeats; ++i) {
    if (options.on_progress) options.on_progress((i + 1.0) / (options.repeats + 1.0));
    run.step.seconds.push_back(parts.measure());
  }
  parts.finish(run);
  return run;
}

}  // namespace tessera
