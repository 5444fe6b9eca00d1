// Every case of the tiny checkpoint against the reference's float32 outputs, on every backend and instruction
// set. Tolerances: a double-precision implementation of the model's description is within 5e-5 of every
// value; float32 sums in another order get 2e-4 (embeddings, hidden states) and 1e-3 (logits).
#include <gtest/gtest.h>

#include <cmath>

#include "engine/probe.h"
#include "support/engines.h"
#include "support/safetensors_reader.h"

namespace tessera::test {
namespace {

const std::map<std::string, GoldenTensor>& golden() {
  static const auto tensors = read_golden(kTiny + "/golden.safetensors");
  return tensors;
}

double max_abs(std::span<const float> found, std::span<const float> wanted) {
  EXPECT_EQ(found.size(), wanted.size());
  double worst = found.size() == wanted.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(found.size(), wanted.size()); ++i)
    worst = std::max(worst, std::isfinite(found[i]) ? std::abs(double{found[i]} - wanted[i]) : INFINITY);
  return worst;
}

struct Case {
  BackendCase backend;
  nlohmann::json json;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.json["name"].get<std::string>() << " on " << c.backend.name();
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const BackendCase& b : composed_backends())
    for (const auto& c : tiny_cases())
      if (c.contains("parts")) out.push_back({b, c});
  return out;
}

class TinyGolden : public testing::TestWithParam<Case> {};

TEST_P(TinyGolden, EqualsReference) {
  const auto& [backend, c] = GetParam();
  const std::string name = c["name"];
  const auto engine = tiny_engine(backend);
  EngineImpl& impl = engine->impl();
  Sequence sequence = prompt_of(impl, c["parts"]);
  const ProbeResult r = probe(impl, sequence, {c["greedy_tokens"], false, 4});

  const auto& g = golden();
  EXPECT_EQ(r.input_ids, g.at(name + "/input_ids").i32());
  EXPECT_EQ(r.token_types, g.at(name + "/token_types").i32());
  EXPECT_EQ(r.greedy, g.at(name + "/greedy").i32());
  double embeds = 0, hidden = 0;
  if (g.contains(name + "/image_embeds"))
    embeds = max_abs(r.image_embeds, g.at(name + "/image_embeds").f32());
  if (g.contains(name + "/audio_embeds"))
    embeds = std::max(embeds, max_abs(r.audio_embeds, g.at(name + "/audio_embeds").f32()));
  ASSERT_EQ(r.hidden.size(), impl.model.layers.size() + 1);
  for (size_t l = 0; l < r.hidden.size(); ++l)
    hidden = std::max(hidden, max_abs(r.hidden[l], g.at(name + "/hidden." + std::to_string(l)).f32()));
  const double logits = max_abs(r.logits, g.at(name + "/logits").f32());
  EXPECT_LE(embeds, 2e-4);
  EXPECT_LE(hidden, 2e-4);
  EXPECT_LE(logits, 1e-3);
  std::printf("max |error| %-12s %-13s embeddings %.1e hidden %.1e logits %.1e\n", name.c_str(),
              backend.name().c_str(), embeds, hidden, logits);
}

INSTANTIATE_TEST_SUITE_P(All, TinyGolden, testing::ValuesIn(cases()), [](const auto& i) {
  return i.param.json["name"].template get<std::string>() + "_" + i.param.backend.name();
});

// The net is only worth something if a wrong weight breaks it: one matrix of layer 3 is scaled by 1.01.
TEST(TinyGoldenNet, ADamagedModelFails) {
  const auto engine = tiny_engine(backends().back(), 512, 1);
  EngineImpl& impl = engine->impl();
  const float kept = impl.model.layers[3].scale;
  impl.model.layers[3].scale *= 1.01F;
  const auto all = tiny_cases();
  Sequence sequence = prompt_of(impl, all[0]["parts"]);
  const ProbeResult r = probe(impl, sequence, {0, false, 4});
  impl.model.layers[3].scale = kept;
  EXPECT_GT(max_abs(r.logits, golden().at(all[0]["name"].get<std::string>() + "/logits").f32()), 1e-3);
}

}  // namespace
}  // namespace tessera::test
