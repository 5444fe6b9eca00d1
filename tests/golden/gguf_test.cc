// The tiny checkpoint as GGUF and mmproj: every golden as the Hugging Face directory meets it, and the same
// logits to the last bit, since float32 holds bfloat16 exactly.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/probe.h"
#include "support/engines.h"
#include "support/gguf_model.h"
#include "support/safetensors_reader.h"

namespace tessera::test {
namespace {

/// Written once for this program.
const std::string& gguf_path() {
  static const TempDir dir;
  static const std::string path = [] {
    const GgufPair pair = tiny_gguf();
    dir.write("mmproj-tiny-F32.gguf", pair.mmproj.bytes());
    return dir.write("tiny-it-F32.gguf", pair.model.bytes());
  }();
  return path;
}

std::shared_ptr<Engine> gguf_engine(const BackendCase& c) {
  static std::map<std::string, std::shared_ptr<Engine>> loaded;
  auto& engine = loaded[c.name()];
  if (!engine) {
    EngineOptions o;
    o.threads = 2;
    o.context_tokens = 2304;
    engine = load_case(c, gguf_path(), o);
  }
  return engine;
}

class TinyGguf : public testing::TestWithParam<BackendCase> {};

TEST_P(TinyGguf, EqualsReferenceAndTheDirectory) {
  const auto golden = read_golden(kTiny + "/golden.safetensors");
  const auto engine = gguf_engine(GetParam()), directory = tiny_engine(GetParam());
  EXPECT_TRUE(engine->info().mmproj.ends_with("mmproj-tiny-F32.gguf"));
  int cases = 0;
  for (const auto& c : tiny_cases()) {
    if (!c.contains("parts")) continue;
    ++cases;
    const std::string name = c["name"];
    SCOPED_TRACE(name);
    Sequence sequence = prompt_of(engine->impl(), c["parts"]),
             same = prompt_of(directory->impl(), c["parts"]);
    const ProbeResult r = probe(engine->impl(), sequence, {c["greedy_tokens"], false, 4}),
                      wanted = probe(directory->impl(), same, {c["greedy_tokens"], false, 4});
    EXPECT_EQ(r.input_ids, golden.at(name + "/input_ids").i32());
    EXPECT_EQ(r.token_types, golden.at(name + "/token_types").i32());
    EXPECT_EQ(r.greedy, golden.at(name + "/greedy").i32());
    const std::vector<float> logits = golden.at(name + "/logits").f32();
    ASSERT_EQ(r.logits.size(), logits.size());
    float worst = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      ASSERT_TRUE(std::isfinite(r.logits[i]));
      worst = std::max(worst, std::abs(r.logits[i] - logits[i]));
    }
    EXPECT_LE(worst, 1e-3F);
    if (GetParam().isa == "amx")
      continue;  // these weights are float32 in one of them: other kernels, other sums
    EXPECT_EQ(r.image_embeds, wanted.image_embeds);
    EXPECT_EQ(r.audio_embeds, wanted.audio_embeds);
    EXPECT_EQ(r.logits, wanted.logits);
  }
  EXPECT_GE(cases, 4);
}

INSTANTIATE_TEST_SUITE_P(All, TinyGguf, testing::ValuesIn(composed_backends()),
                         [](const auto& i) { return i.param.name(); });

}  // namespace
}  // namespace tessera::test
