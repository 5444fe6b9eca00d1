// compare: divergence and agreement of two models over a text.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "engine/probe.h"
#include "support/engines.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tessera::test {
namespace {

const std::string kText =
    "Flight BA 117 to New York departs from gate 22 at 10:45. The train to Lyon leaves from platform 4. "
    "Mind the gap between the train and the platform, and keep your luggage with you at all times.";

std::shared_ptr<Engine> cpu() {
  return tiny_engine({"cpu", ""}, 64, 2, 256);
}

/// The small checkpoint with its logits capped more tightly: another distribution with the same likeliest
/// tokens.
std::shared_ptr<Engine> capped() {
  const TempDir dir;
  for (const auto& entry : std::filesystem::directory_iterator(kTiny))
    if (entry.is_regular_file())
      std::filesystem::copy_file(entry.path(), dir.file(entry.path().filename().string()));
  auto config = nlohmann::json::parse(read_text_file(kTiny + "/config.json", 1 << 20));
  config["text_config"]["final_logit_softcapping"] = 2.0;
  dir.write("config.json", config.dump());
  EngineOptions o;
  o.context_tokens = 256;
  o.threads = 1;
  return Engine::load(dir.path(), o);
}

Comparison compared(const Engine& a, const Engine& b, int window = 64, int max_positions = 4096) {
  return compare(a, b, {kText, window, max_positions, {}});
}

int text_tokens() {
  return static_cast<int>(tokenize(kTiny, kText).size());
}

TEST(Compare, AModelWithItself) {
  for (const int window : {2, 33, 64, 256}) {
    const Comparison c = compared(*cpu(), *cpu(), window);
    EXPECT_EQ(c.positions, text_tokens()) << window;
    for (const double v : {c.kl_mean, c.kl_median, c.kl_p99, c.kl_max}) EXPECT_EQ(v, 0);
    EXPECT_EQ(c.same_top, 1);
    EXPECT_EQ(c.reference_perplexity, c.other_perplexity);
    EXPECT_GT(c.reference_perplexity, 1);
  }
}

TEST(Compare, BackendsDifferByRounding) {
  const auto ref = tiny_engine({"ref", ""}, 64, 1, 256);
  const Comparison c = compared(*ref, *cpu());
  EXPECT_LT(c.kl_max, 1e-6);
  EXPECT_NEAR(c.reference_perplexity, c.other_perplexity, 1e-3 * c.reference_perplexity);
}

TEST(Compare, AnotherDistribution) {
  const auto other = capped();
  std::vector<double> progress;
  const Comparison c =
      compare(*cpu(), *other, {kText, 64, 4096, [&](double fraction) { progress.push_back(fraction); }});
  EXPECT_EQ(c.same_top, 1) << "a cap keeps the order";
  EXPECT_GT(c.kl_median, 0);
  EXPECT_LE(c.kl_median, c.kl_p99);
  EXPECT_LE(c.kl_p99, c.kl_max);
  EXPECT_LT(c.kl_mean, c.kl_max);
  EXPECT_NE(c.reference_perplexity, c.other_perplexity);
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back(), 1);
}

// One position is one row: what <bos> alone predicts.
TEST(Compare, OnePositionByHand) {
  const auto other = capped();
  const auto logits = [](const Engine& e) {
    Sequence s(e.impl().config, e.impl().tokenizer);
    s.append_tokens(std::vector{e.impl().config.bos});
    return probe(e.impl(), s, {}).logits;
  };
  const auto softmax = [](const std::vector<float>& x) {
    double sum = 0;
    for (const float v : x) sum += std::exp(double{v});
    std::vector<double> p(x.size());
    for (size_t i = 0; i < x.size(); ++i) p[i] = std::exp(double{x[i]}) / sum;
    return p;
  };
  const auto p = softmax(logits(*cpu())), q = softmax(logits(*other));
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
  const auto first = static_cast<size_t>(tokenize(kTiny, kText)[0]);
  const Comparison c = compared(*cpu(), *other, 64, 1);
  EXPECT_EQ(c.positions, 1);
  EXPECT_NEAR(c.kl_mean, kl, 1e-9);
  EXPECT_NEAR(c.reference_perplexity, 1 / p[first], 1e-6 / p[first]);
  EXPECT_NEAR(c.other_perplexity, 1 / q[first], 1e-6 / q[first]);
}

TEST(Compare, RefusesWhatCannotBeCompared) {
  expect_error(ErrorKind::kBadRequest, {"window", "257", "256"}, [] { compared(*cpu(), *cpu(), 257); });
  expect_error(ErrorKind::kBadRequest, {"window", "1"}, [] { compared(*cpu(), *cpu(), 1); });
  expect_error(ErrorKind::kBadRequest, {"max_positions"}, [] { compared(*cpu(), *cpu(), 64, 0); });
  expect_error(ErrorKind::kBadRequest, {"empty"}, [] { compare(*cpu(), *cpu(), {"", 64, 10, {}}); });
  EngineOptions o;
  o.context_tokens = 256;
  const auto mini = Engine::load(TESSERA_SOURCE_DIR "/models/mini", o);
  expect_error(ErrorKind::kBadRequest, {"vocabulary", "1024", "mini"}, [&] { compared(*cpu(), *mini); });
}

}  // namespace
}  // namespace tessera::test
