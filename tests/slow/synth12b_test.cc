// The 12B geometry, six layers, on synthetic weights: the checkpoint is made by synthesize(), the answers are
// the reference's in float32 (tests/fixtures/synth12b). Takes 5 GB of disk for the time of the test.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "engine/probe.h"
#include "support/engines.h"
#include "support/safetensors_reader.h"

namespace tessera::test {
namespace {

class Synth12b : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::filesystem::temp_directory_path() / "tessera-synth12b-XXXXXX";
    std::string name = directory_.string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    SynthOptions o;
    o.directory = name;
    o.layers = 6;
    synthesize(o);
    EngineOptions e;
    e.context_tokens = 2048;
    engine_ = Engine::load(name, e);
    golden_ = read_golden(TESSERA_SOURCE_DIR "/tests/fixtures/synth12b/layers6.safetensors");
  }
  static void TearDownTestSuite() {
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }

  // The ids of a case with its media in place: the markers come with the media.
  Sequence prompt(const std::string& name) {
    EngineImpl& impl = engine_->impl();
    Sequence s(impl.config, impl.tokenizer);
    const std::vector<int32_t> ids = golden_.at(name + "/input_ids").i32();
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] != impl.config.image_begin && ids[i] != impl.config.audio_begin) {
        s.append_tokens(std::vector{ids[i]});
        continue;
      }
      const bool image = ids[i] == impl.config.image_begin;
      s.append_media(tiny_media(image ? nlohmann::json{"image", "shapes.png", 280}
                                      : nlohmann::json{"audio", "chirp.wav"}));
      while (ids[i] != (image ? impl.config.image_end : impl.config.audio_end)) ++i;
    }
    return s;
  }

  void check(const std::string& name) {
    EngineImpl& impl = engine_->impl();
    Sequence s = prompt(name);
    ASSERT_EQ(s.ids(), golden_.at(name + "/input_ids").i32());
    const ProbeResult r = probe(impl, s, {8, true, 1});
    EXPECT_EQ(r.token_types, golden_.at(name + "/token_types").i32());

    const std::vector<float> hidden = golden_.at(name + "/hidden_last").f32(),
                             logits = golden_.at(name + "/logits_last").f32();
    ASSERT_EQ(r.hidden.size() * 3840, hidden.size());
    double worst_hidden = 0, worst_logit = 0;
    for (size_t l = 0; l < r.hidden.size(); ++l) {
      double error = 0, norm = 0;
      for (size_t i = 0; i < 3840; ++i) {
        const double want = hidden[l * 3840 + i], e = r.hidden[l][i] - want;
        error += e * e;
        norm += want * want;
      }
      worst_hidden = std::max(worst_hidden, std::sqrt(error / norm));
      EXPECT_LE(std::sqrt(error / norm), 1e-3) << "row " << l;
    }
    ASSERT_EQ(r.logits.size(), logits.size());
    float top = -INFINITY, second = -INFINITY;
    for (size_t i = 0; i < logits.size(); ++i) {
      worst_logit = std::max(worst_logit, std::abs(double{r.logits[i]} - logits[i]));
      if (logits[i] > top)
        second = top, top = logits[i];
      else
        second = std::max(second, logits[i]);
    }
    EXPECT_LE(worst_logit, 0.02);
    // Equal where the first margin is clear; later tokens follow from it.
    const std::vector<int32_t> greedy = golden_.at(name + "/greedy").i32();
    const bool clear = top - second > 0.02F;
    if (clear) {
      EXPECT_EQ(r.greedy.front(), greedy.front());
    }
    std::printf("%-9s hidden %.1e (relative, worst row), logits %.1e, margin %.3f, greedy equal: %s\n",
                name.c_str(), worst_hidden, worst_logit, top - second,
                r.greedy == greedy ? "all 8" : "not all");
    if (clear) {
      EXPECT_EQ(r.greedy, greedy);
    }
  }

  static inline std::filesystem::path directory_;
  static inline std::shared_ptr<Engine> engine_;
  static inline std::map<std::string, GoldenTensor> golden_;
};

TEST_F(Synth12b, Text64) {
  check("text64");
}
TEST_F(Synth12b, Mixed) {
  check("mixed");
}
TEST_F(Synth12b, Text1500) {
  check("text1500");
}

}  // namespace
}  // namespace tessera::test
