// The default model against the training code (torch, float32, the dequantised weights; equal to
// transformers' classes within 5.1e-5, train/LOG.md): examples/amber.png, "Read the board.", teacher-forced;
// logits of the last 40 positions. Made by: train/reader.py --golden.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/probe.h"
#include "support/engines.h"
#include "support/safetensors_reader.h"

namespace tessera::test {
namespace {

// What a backend may be away from it: of one logit, and as KL divergence, mean of the positions.
struct Bound {
  const char* backend;
  double logit, divergence;
};

class MiniGolden : public testing::TestWithParam<Bound> {};

// Sum of p log(p / q), p and q the softmax of `wanted` and `found`.
double divergence(const float* wanted, const float* found, size_t n) {
  const auto log_sum = [n](const float* x) {
    const double top = *std::max_element(x, x + n);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += std::exp(x[i] - top);
    return top + std::log(sum);
  };
  const double p0 = log_sum(wanted), q0 = log_sum(found);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += std::exp(wanted[i] - p0) * ((wanted[i] - p0) - (found[i] - q0));
  return sum;
}

TEST_P(MiniGolden, EqualsTheTrainingCode) {
  const auto golden = read_golden(TESSERA_SOURCE_DIR "/tests/fixtures/mini/golden.safetensors");
  const std::vector<int32_t> ids = golden.at("input_ids").i32();
  const std::vector<float> wanted = golden.at("logits").f32();
  EngineOptions options;
  options.backend = GetParam().backend;
  const auto engine = Engine::load(TESSERA_SOURCE_DIR "/models/mini", options);
  EngineImpl& impl = engine->impl();

  Sequence s(impl.config, impl.tokenizer);
  const auto begin = std::find(ids.begin(), ids.end(), impl.config.image_begin);
  const auto end = std::find(ids.begin(), ids.end(), impl.config.image_end);
  ASSERT_TRUE(begin < end && end != ids.end());
  s.append_tokens(std::vector(ids.begin(), begin));
  const std::string file = TESSERA_SOURCE_DIR "/examples/amber.png";
  s.append_media(Media::image(read_binary_file(file, 1 << 25), file));
  s.append_tokens(std::vector(end + 1, ids.end()));
  ASSERT_EQ(s.ids(), ids);

  const ProbeResult r = probe(impl, s, {0, false, 1});
  const auto vocab = static_cast<size_t>(impl.config.vocab);
  ASSERT_EQ(wanted.size() % vocab, 0U);
  ASSERT_GE(r.logits.size(), wanted.size());
  const float* found = r.logits.data() + r.logits.size() - wanted.size();
  double worst = 0;
  for (size_t i = 0; i < wanted.size(); ++i) worst = std::max(worst, std::abs(double{found[i]} - wanted[i]));
  for (size_t row = 0; row < wanted.size(); row += vocab)
    EXPECT_EQ(std::max_element(found + row, found + row + vocab) - (found + row),
              std::max_element(wanted.begin() + row, wanted.begin() + row + vocab) - (wanted.begin() + row));
  double mean = 0;
  for (size_t row = 0; row < wanted.size(); row += vocab)
    mean += divergence(wanted.data() + row, found + row, vocab) /
            (static_cast<double>(wanted.size()) / static_cast<double>(vocab));
  EXPECT_LE(worst, GetParam().logit);
  EXPECT_LE(mean, GetParam().divergence);
  std::printf("mini on %s: logits within %.1e, KL divergence %.1e\n", GetParam().backend, worst, mean);
}

// ref opens the 8-bit weights to float32. cpu computes on them as they are, with activations in 8 bits and K
// and V in bfloat16 (docs/DESIGN.md, Numerics): measured 0.19 and 1.5e-7.
INSTANTIATE_TEST_SUITE_P(Backends, MiniGolden,
                         testing::Values(Bound{"ref", 1e-3, 1e-8}, Bound{"cpu", 0.5, 1e-5}),
                         [](const auto& i) { return std::string(i.param.backend); });

}  // namespace
}  // namespace tessera::test
