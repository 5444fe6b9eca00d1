// The 12B geometry, six layers (48 on a card), on synthetic weights: the checkpoint is made by synthesize(),
// the answers are the reference's in float32 (tests/fixtures/synth12b). Takes 5 GB of disk for the time of
// the test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/probe.h"
#include "support/engines.h"
#include "support/safetensors_reader.h"

namespace tessera::test {
namespace {

#ifdef TESSERA_TEST_CUDA
constexpr const char* kBackend = "cuda";
constexpr int kLayers[] = {6, 48};
#else
constexpr const char* kBackend = "cpu";
constexpr int kLayers[] = {6};
#endif

class Synth12b : public testing::TestWithParam<int> {
 protected:
  struct Loaded {
    std::filesystem::path directory;
    std::shared_ptr<Engine> engine;
    std::map<std::string, GoldenTensor> golden;
    nlohmann::json facts;
  };

  // Checkpoints stay until the end: 5 GB, and 24 of 48 layers, on disk and on the card.
  static void prepare(int layers) {
    Loaded& l = loaded_[layers];
    if (!l.engine) load(layers, l);
    if (HasFatalFailure()) return;
    engine_ = l.engine;
    golden_ = l.golden;
    facts_ = l.facts;
  }
  static void load(int layers, Loaded& l) {
    std::string name = std::filesystem::temp_directory_path() / "tessera-synth12b-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    l.directory = name;
    SynthOptions o;
    o.directory = name;
    o.layers = layers;
    synthesize(o);
    EngineOptions e;
    e.backend = kBackend;
    e.context_tokens = 2048;
#ifdef TESSERA_TEST_CUDA
    const int64_t before = cuda_card(0).free_bytes;
#endif
    l.engine = Engine::load(name, e);
#ifdef TESSERA_TEST_CUDA
    const std::string& plan = l.engine->impl().card_plan;
    const int64_t taken = (before - cuda_card(0).free_bytes) >> 20;
    std::printf("the card gave %lld MiB; planned: %s\n", static_cast<long long>(taken), plan.c_str());
    EXPECT_LE(taken, std::stoll(plan.substr(plan.find("= ") + 2)));
#endif
    const std::string stem = TESSERA_SOURCE_DIR "/tests/fixtures/synth12b/layers" + std::to_string(layers);
    l.golden = read_golden(stem + ".safetensors");
    l.facts = nlohmann::json::parse(read_text_file(stem + ".json", 1 << 20));
  }
  static void discard() {
    engine_.reset();
    for (auto& [layers, l] : loaded_) {
      l.engine.reset();
      if (!l.directory.empty()) std::filesystem::remove_all(l.directory);
    }
    loaded_.clear();
  }
  static void TearDownTestSuite() {
    discard();
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

  /// Float32 activations are measured against float32's own error, bfloat16 ones against the reference's
  /// drift from float32 when it computes in bfloat16.
  void expect_bounds(const std::string& name, double worst_hidden, double worst_logit, double kl) {
    if (engine_->impl().backend->activation_dtype() == DType::kF32) {
      EXPECT_LE(worst_hidden, 1e-3);
      EXPECT_LE(worst_logit, 0.02);
      return;
    }
    for (const auto& fact : facts_) {
      if (!fact.contains("case") || fact["case"] != name) continue;
      EXPECT_LE(worst_logit, 1.5 * fact["bf16_reference_max_abs_logit_error"].get<double>());
      EXPECT_LE(kl, 1.5 * fact["bf16_reference_kl_nats"][0].get<double>());
      return;
    }
    FAIL() << "no drift of the reference for " << name;
  }

  static double log_sum(const std::vector<float>& v) {
    const double top = *std::max_element(v.begin(), v.end());
    double sum = 0;
    for (const float e : v) sum += std::exp(e - top);
    return top + std::log(sum);
  }

  void check(const std::string& name) {
    prepare(GetParam());
    if (HasFatalFailure()) return;
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
    double kl = 0;
    const double zw = log_sum(logits), zf = log_sum(r.logits);
    for (size_t i = 0; i < logits.size(); ++i)
      kl += std::exp(logits[i] - zw) * ((logits[i] - zw) - (r.logits[i] - zf));
    expect_bounds(name, worst_hidden, worst_logit, kl);
    // Equal where the first margin is clear; later tokens follow from it.
    const std::vector<int32_t> greedy = golden_.at(name + "/greedy").i32();
    const bool clear = top - second > 2 * worst_logit;
    if (clear) {
      EXPECT_EQ(r.greedy.front(), greedy.front());
    }
    std::printf(
        "%2d layers, %-9s hidden %.1e (relative, worst row), logits %.1e, KL %.1e, margin %.3f, greedy "
        "equal: %s\n",
        GetParam(), name.c_str(), worst_hidden, worst_logit, kl, top - second,
        r.greedy == greedy ? "all 8" : "not all");
    if (clear && impl.backend->activation_dtype() == DType::kF32) {
      EXPECT_EQ(r.greedy, greedy);
    }
  }

  static inline std::map<int, Loaded> loaded_;
  static inline nlohmann::json facts_;
  static inline std::shared_ptr<Engine> engine_;
  static inline std::map<std::string, GoldenTensor> golden_;
};

TEST_P(Synth12b, Text64) {
  check("text64");
}
TEST_P(Synth12b, Mixed) {
  check("mixed");
}
TEST_P(Synth12b, Text1500) {
  check("text1500");
}

// Layer counts outermost, so that a checkpoint is made once.
INSTANTIATE_TEST_SUITE_P(Layers, Synth12b, testing::ValuesIn(kLayers),
                         [](const auto& i) { return std::to_string(i.param); });

}  // namespace
}  // namespace tessera::test
