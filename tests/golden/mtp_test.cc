// The drafters of the tiny checkpoint against the reference: four tokens after the prompt of the case "text".
// Tolerances as in tiny_test.cc.
#include "model/mtp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/model_source.h"
#include "engine/stepper.h"
#include "support/engines.h"
#include "support/safetensors_reader.h"
#include "support/temp_dir.h"

namespace tessera::test {
namespace {

struct DraftCase {
  BackendCase backend;
  std::string name;  // of the golden tensors; the drafter lies in tiny_NAME
};

void PrintTo(const DraftCase& c, std::ostream* out) {
  *out << c.name << " on " << c.backend.name();
}

double max_abs(std::span<const float> found, std::span<const float> wanted) {
  double worst = found.size() == wanted.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(found.size(), wanted.size()); ++i)
    worst = std::max(worst, std::isfinite(found[i]) ? std::abs(double{found[i]} - wanted[i]) : INFINITY);
  return worst;
}

struct Drafts {
  std::vector<float> first_state, logits, last_state;
  std::vector<int32_t> tokens;
};

/// `count` tokens after the prompt of the case "text"; `behind`: 2 turns queries to L − 2, 1 to L − 1.
Drafts draft(EngineImpl& impl, const std::string& drafter_path, int32_t token, int count, int behind = 2) {
  const auto cases = tiny_cases();
  const auto text =
      std::find_if(cases.begin(), cases.end(), [](const auto& c) { return c["name"] == "text"; });
  Sequence sequence = prompt_of(impl, (*text)["parts"]);
  const std::lock_guard turn(impl.turn);
  Stepper stepper(impl, sequence);
  stepper.prefill(0, sequence.size());

  Backend& be = *impl.backend;
  const ModelSource source = open_drafter(drafter_path);
  Drafter drafter(be, bind_model(source.config, source.store, be, {}), impl.model, 1);
  be.reserve(impl.max_step_tokens());
  const auto read = [&be](Tensor t) {
    std::vector<float> out(static_cast<size_t>(t.rows * t.cols));
    be.read(out.data(), t);
    return out;
  };
  const auto last = static_cast<int32_t>(sequence.size() - 1);
  Tensor states = impl.scratch->hidden;
  Drafts out;
  out.first_state = read({states.data, 1, states.cols, states.dtype});
  for (int i = 0; i < count; ++i) {
    StepPlan plan;
    plan.token = {token};
    plan.position = plan.span_end = {last};
    plan.turn = {last + 2 - behind};
    plan.sequence = plan.logit_row = {0};
    drafter.step(plan, states, stepper.kv());
    states = drafter.states();
    token = drafter.best(0);
    out.tokens.push_back(token);
    const auto logits = read(drafter.logits_of(0));
    out.logits.insert(out.logits.end(), logits.begin(), logits.end());
  }
  out.last_state = read({states.data, 1, states.cols, states.dtype});
  return out;
}

class MtpGolden : public testing::TestWithParam<DraftCase> {};

TEST_P(MtpGolden, EqualsReference) {
  const auto& [backend, name] = GetParam();
  static const auto golden = read_golden(kTiny + "/golden.safetensors");
  EngineImpl& impl = tiny_engine(backend)->impl();
  const Drafts found = draft(impl, kTiny + "_" + name, golden.at(name + "/first_token").i32()[0], 4);
  EXPECT_EQ(found.tokens, golden.at(name + "/draft_tokens").i32());
  const double logits = max_abs(found.logits, golden.at(name + "/draft_logits").f32());
  const double state = max_abs(found.last_state, golden.at(name + "/draft_last_hidden").f32());
  EXPECT_LE(max_abs(found.first_state, golden.at(name + "/backbone_hidden").f32()), 2e-4);
  EXPECT_LE(logits, 1e-3);
  EXPECT_LE(state, 1e-3);
  std::printf("max |error| %-17s %-13s logits %.1e state %.1e\n", name.c_str(), backend.name().c_str(),
              logits, state);
}

std::vector<DraftCase> draft_cases() {
  std::vector<DraftCase> out;
  for (const BackendCase& b : composed_backends()) {
    if (b.card_layers > 0) continue;  // no drafter there
    for (const char* name : {"assistant", "assistant_ordered"}) out.push_back({b, name});
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(All, MtpGolden, testing::ValuesIn(draft_cases()),
                         [](const auto& i) { return i.param.name + "_" + i.param.backend.name(); });

// The turn reaches the queries: one position on is another answer.
TEST(Mtp, TheTurnMatters) {
  EngineImpl& impl = tiny_engine(backends().back())->impl();
  EXPECT_GT(max_abs(draft(impl, kTiny + "_assistant", 5, 1, 1).logits,
                    draft(impl, kTiny + "_assistant", 5, 1, 2).logits),
            1e-3);
}

// From GGUF the same bits: what was bfloat16 stays it.
TEST(Mtp, AGgufDraftsAsItsSource) {
  TempDir dir;
  const std::string file = dir.file("tiny-assistant.gguf");
  QuantizeOptions o;
  o.model = kTiny + "_assistant";
  o.out = file;
  o.type = "bf16";
  quantize(o);
  EngineImpl& impl = tiny_engine(backends().back())->impl();
  const Drafts from_gguf = draft(impl, file, 5, 4), wanted = draft(impl, o.model, 5, 4);
  EXPECT_EQ(from_gguf.logits, wanted.logits);
  EXPECT_EQ(from_gguf.tokens, wanted.tokens);
  o.type = "q8_0";
  o.out = dir.file("tiny-assistant-q8.gguf");
  quantize(o);
  EXPECT_LT(max_abs(draft(impl, o.out, 5, 1).logits, draft(impl, o.model, 5, 1).logits), 0.2);
}

}  // namespace
}  // namespace tessera::test
