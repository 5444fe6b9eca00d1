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

class MiniGolden : public testing::TestWithParam<std::pair<const char*, double>> {};

TEST_P(MiniGolden, EqualsTheTrainingCode) {
  const auto golden = read_golden(TESSERA_SOURCE_DIR "/tests/fixtures/mini/golden.safetensors");
  const std::vector<int32_t> ids = golden.at("input_ids").i32();
  const std::vector<float> wanted = golden.at("logits").f32();
  EngineOptions options;
  options.backend = GetParam().first;
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
  EXPECT_LE(worst, GetParam().second);
  std::printf("mini on %s: logits within %.1e\n", GetParam().first, worst);
}

// ref keeps the opened 8-bit weights as float32; cpu rounds them to bfloat16 (docs/DESIGN.md, Numerics).
INSTANTIATE_TEST_SUITE_P(Backends, MiniGolden, testing::Values(std::pair{"ref", 1e-3}, std::pair{"cpu", 0.1}),
                         [](const auto& i) { return std::string(i.param.first); });

}  // namespace
}  // namespace tessera::test
