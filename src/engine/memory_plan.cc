#include "engine/memory_plan.h"

#include <algorithm>

#include "backend/backend.h"
#include "base/error.h"
#include "engine/memory_need.h"

namespace tessera {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
// Logits of one row of the published model are 1 MiB: a drafter's check or a comparison wants some tens.
constexpr int64_t kMaxLogitBytesOnCard = 256 * kMiB;
// Recorded steps, a matrix opened from its codes, attention's partial sums, the matrix library's workspace.
constexpr int64_t kCardWorkspace = 768 * kMiB;

struct CardPlan {
  int64_t weights, kv, scratch;
  CudaCard card;
  int64_t sum() const { return weights + kv + scratch + kCardWorkspace; }
};

CardPlan card_plan(const ModelConfig& config, const ModelInfo& info, const EngineOptions& o) {
  const int64_t rows = step_rows(info, o);
  CardPlan plan{};
  for (const TensorCount& t : info.dtypes) plan.weights += t.bytes;
  plan.weights += info.drafter_weight_bytes;
  plan.weights += plan.weights / 32;  // padding of rows
  plan.kv = o.parallel * info.kv_bytes(o.context_tokens, o.chunk_tokens, o.kv);
  plan.scratch = step_bytes(info, rows, max_logit_rows(config, o, rows));
  plan.card = cuda_card(o.device);
  return plan;
}

}  // namespace

int64_t max_logit_rows(const ModelConfig& config, const EngineOptions& options, int64_t step_rows) {
  if (options.backend != "cuda") return step_rows;  // untouched pages cost nothing
  return std::clamp<int64_t>(kMaxLogitBytesOnCard / (int64_t{4} * config.vocab), 1, step_rows);
}

std::string choose_backend(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                           std::string& why) {
  why = why_no_cuda();
  if (why.empty() && !options.isa.empty()) why = "an instruction set of the CPU was asked for";
  if (why.empty() && options.kv == "q8_0") why = "KV in q8_0 is the cpu backend's";
  if (!why.empty()) return "cpu";
  EngineOptions o = options;
  o.backend = "cuda";
  if (o.kv.empty()) o.kv = "bf16";
  const CardPlan plan = card_plan(config, info, o);
  if (plan.sum() <= plan.card.free_bytes) return "cuda";
  why =
      fmt::format("the card has {} MiB free, {} are needed", plan.card.free_bytes / kMiB, plan.sum() / kMiB);
  return "cpu";
}

void check_card(const ModelConfig& config, const ModelInfo& info, const EngineOptions& o) {
  const CardPlan plan = card_plan(config, info, o);
  if (plan.sum() <= plan.card.free_bytes) return;
  throw_error(
      ErrorKind::kTooLarge,
      "{}: weights {} MiB + KV cache {} MiB at {} tokens + activations {} MiB + workspaces {} MiB = {} "
      "MiB, {} has {} MiB free; use a smaller model, --ctx, or --backend cpu",
      config.path, plan.weights / kMiB, plan.kv / kMiB, o.context_tokens, plan.scratch / kMiB,
      kCardWorkspace / kMiB, plan.sum() / kMiB, plan.card.name, plan.card.free_bytes / kMiB);
}

}  // namespace tessera
