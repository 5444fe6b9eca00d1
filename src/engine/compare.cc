// How far one model's next-token distributions are from another's: `tessera compare`. Both models go through
// the text side by side, a few rows at a time, so that no more than those rows' logits are held.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "engine/stepper.h"

namespace tessera {
namespace {

constexpr int64_t kRows = 32;  // of one step: 262,144 logits each are 32 MiB a model

/// log(sum(exp(logits)))
double log_sum(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - top);
  return top + std::log(sum);
}

struct Row {
  double kl, reference_loss, other_loss;
  bool same_top;
};

Row measure(std::span<const float> reference, std::span<const float> other, int32_t next) {
  const double zr = log_sum(reference), zo = log_sum(other);
  double kl = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - zr;
    kl += std::exp(log_p) * (log_p - (other[i] - zo));
  }
  const auto top = [](std::span<const float> v) { return std::max_element(v.begin(), v.end()) - v.begin(); };
  return {std::max(0.0, kl), zr - reference[static_cast<size_t>(next)], zo - other[static_cast<size_t>(next)],
          top(reference) == top(other)};
}

/// One model's way through the windows.
struct Side {
  explicit Side(EngineImpl& e) : engine(e), sequence(e.config, e.tokenizer) {}

  void begin_window(std::span<const int32_t> ids) {
    sequence = Sequence(engine.config, engine.tokenizer);
    sequence.append_tokens(ids);
  }

  EngineImpl& engine;
  Sequence sequence;
  Stepper stepper{engine, sequence};
};

Comparison summary(const std::vector<Row>& rows) {
  Comparison c;
  std::vector<double> kl;
  double reference_loss = 0, other_loss = 0;
  for (const Row& row : rows) {
    kl.push_back(row.kl);
    reference_loss += row.reference_loss;
    other_loss += row.other_loss;
    c.same_top += row.same_top ? 1 : 0;
  }
  std::sort(kl.begin(), kl.end());
  const auto n = static_cast<double>(kl.size());
  const auto quantile = [&](double q) { return kl[static_cast<size_t>(q * (n - 1))]; };
  c.positions = static_cast<int>(kl.size());
  c.kl_mean = std::accumulate(kl.begin(), kl.end(), 0.0) / n;
  c.kl_median = quantile(0.5);
  c.kl_p99 = quantile(0.99);
  c.kl_max = kl.back();
  c.same_top /= n;
  c.reference_perplexity = std::exp(reference_loss / n);
  c.other_perplexity = std::exp(other_loss / n);
  return c;
}

void check(const EngineImpl& a, const EngineImpl& b, const CompareOptions& options) {
  if (a.config.vocab != b.config.vocab)
    throw_error(
        ErrorKind::kBadRequest,
        "{} has a vocabulary of {} and {} one of {}; only models with the same tokens can be compared",
        a.config.path, a.config.vocab, b.config.path, b.config.vocab);
  if (options.max_positions < 1)
    throw_error(ErrorKind::kBadRequest, "max_positions is {}, expected 1 or more", options.max_positions);
  const int64_t context = std::min(a.options.context_tokens, b.options.context_tokens);
  if (options.window_tokens < 2 || options.window_tokens > context)
    throw_error(ErrorKind::kBadRequest, "windows of {} tokens, expected 2 … {} (the engines' context)",
                options.window_tokens, context);
}

}  // namespace

Comparison compare(const Engine& reference, const Engine& other, const CompareOptions& options) {
  EngineImpl &a = reference.impl(), &b = other.impl();
  check(a, b, options);
  Sequence text(a.config, a.tokenizer);
  text.append_text(options.text);
  text.flush();
  const int64_t positions = std::min<int64_t>(text.size(), options.max_positions);
  if (positions < 1)
    throw_error(ErrorKind::kBadRequest, "the text is empty; give one of some thousand tokens");

  // In the order of their addresses, or two comparisons the other way round would wait for each other.
  const auto [first_turn, second_turn] = std::minmax({&a, &b});
  const std::lock_guard turn(first_turn->turn);
  std::unique_lock<TurnLock> other_turn;
  if (second_turn != first_turn) other_turn = std::unique_lock(second_turn->turn);
  Side side_a(a), side_b(b);
  const int64_t step_rows = std::min({kRows, a.max_step_tokens(), b.max_step_tokens()});
  const auto vocab = static_cast<size_t>(a.config.vocab);
  std::vector<Row> rows;
  for (int64_t first = 0; first < positions;) {
    const int64_t count = std::min<int64_t>(positions - first, options.window_tokens - 1);
    std::vector<int32_t> ids = {a.config.bos};
    ids.insert(ids.end(), text.ids().begin() + first, text.ids().begin() + first + count);
    side_a.begin_window(ids);
    side_b.begin_window(ids);
    for (int64_t begin = 0; begin < count; begin += step_rows) {  // the last token is only ever a target
      const int64_t end = std::min(count, begin + step_rows);
      side_a.stepper.step(begin, end, end - begin);
      const std::vector<float> of_a = side_a.stepper.logits();  // two sides of one engine share its scratch
      side_b.stepper.step(begin, end, end - begin);
      const std::vector<float> of_b = side_b.stepper.logits();
      for (int64_t r = 0; r < end - begin; ++r)
        rows.push_back(measure(std::span(of_a).subspan(static_cast<size_t>(r) * vocab, vocab),
                               std::span(of_b).subspan(static_cast<size_t>(r) * vocab, vocab),
                               ids[static_cast<size_t>(begin + r + 1)]));
      if (options.on_progress)
        options.on_progress(static_cast<double>(rows.size()) / static_cast<double>(positions));
    }
    first += count;
  }
  return summary(rows);
}

}  // namespace tessera
