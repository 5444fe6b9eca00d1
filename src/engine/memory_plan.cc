#include "engine/memory_plan.h"

#include <algorithm>

#include "backend/backend.h"
#include "backend/group_backend.h"
#include "base/error.h"
#include "engine/engine_impl.h"
#include "engine/memory_need.h"

namespace tessera {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
// Logits of one row of the published model are 1 MiB: a drafter's check or a comparison wants some tens.
constexpr int64_t kMaxLogitBytesOnCard = 256 * kMiB;
// Recorded steps, attention's partial sums, the matrix library and its workspace, kernels.
constexpr int64_t kCardBasics = 320 * kMiB;
constexpr int64_t kOpenedBytes = 256 * kMiB;  // weights that are not bfloat16 are opened in pieces of this
constexpr int64_t kSumBytes = 512 * kMiB;     // NCCL's buffers

struct CardPlan {
  int64_t weights, kv, work, free;
  int64_t sum() const { return weights + kv + work; }
  bool fits() const { return sum() <= free; }
};

const CudaCard& ask(AskedCard& card, const EngineOptions& o) {
  if (card) return *card;
  CudaCard found = cuda_card(o.device);
  for (int i = 1; i < o.gpus; ++i)
    found.free_bytes = std::min(found.free_bytes, cuda_card(o.device + i).free_bytes);
  return card.emplace(std::move(found));
}

int layers_on_card(const ModelInfo& info, const EngineOptions& o) {
  const auto all = static_cast<int>(info.layers.size());
  return o.gpu_layers < 0 ? all : std::min(all, o.gpu_layers);
}

// What a rank of several computes of the first `layers` layers.
ModelInfo part_of(const ModelInfo& info, int layers, int gpus) {
  ModelInfo part = info;
  part.layers.resize(static_cast<size_t>(layers));
  for (LayerInfo& l : part.layers) l.kv_heads = std::max(1, l.kv_heads / gpus);
  return part;
}

int64_t file_bytes(const ModelInfo& info) {
  int64_t bytes = 0;
  for (const TensorCount& t : info.dtypes) bytes += t.bytes;
  return bytes;
}

// The products' workspace of steps of `rows` rows (backend/cuda/products).
int64_t product_bytes(const ModelInfo& info, int64_t rows) {
  const bool opened = std::any_of(info.dtypes.begin(), info.dtypes.end(),
                                  [](const TensorCount& t) { return t.dtype != "BF16" && t.dtype != "F32"; });
  const int64_t widest = std::max<int64_t>(info.intermediate, info.hidden);
  return rows * (2 * info.intermediate + widest) * 2 + (opened ? kOpenedBytes : 0);
}

CardPlan card_plan(const ModelInfo& info, const EngineOptions& o, int layers, const CudaCard& card) {
  const int64_t rows = step_rows(info, o);
  const ModelInfo part = part_of(info, layers, o.gpus);
  CardPlan plan{};
  plan.weights = file_bytes(info);
  for (size_t i = static_cast<size_t>(layers); i < info.layers.size(); ++i)
    plan.weights -= info.layers[i].bytes;
  const int64_t media =
      (info.vision_parameters + info.vision_projection_parameters + info.audio_parameters) * 4;
  plan.weights = (plan.weights + info.drafter_weight_bytes) / o.gpus + (o.gpus > 1 ? media : 0);
  plan.weights += plan.weights / 32;  // padding of rows
  plan.kv = o.parallel * part.kv_bytes(o.context_tokens, o.chunk_tokens, o.kv);
  plan.work = step_bytes(info, rows, max_logit_rows(info, o, rows)) + product_bytes(info, rows) +
              kCardBasics + (o.gpus > 1 ? kSumBytes : 0);
  plan.free = card.free_bytes;
  return plan;
}

// What the host has of a model whose first layers are on a card.
void check_host(const ModelConfig& config, const ModelInfo& info, const EngineOptions& o, int layers) {
  ModelInfo rest = info;
  rest.layers.erase(rest.layers.begin(), rest.layers.begin() + layers);
  int64_t bytes = 0;
  for (const LayerInfo& l : rest.layers) bytes += l.bytes;
  rest.weight_bytes =
      static_cast<int64_t>(static_cast<double>(info.weight_bytes) * static_cast<double>(bytes) /
                           static_cast<double>(std::max<int64_t>(1, file_bytes(info))));
  check_memory(config.path, memory_need(rest, o));
}

void check_shares(const ModelConfig& config, int gpus) {
  for (const LayerConfig& l : config.layers) check_heads(config.q_heads, l.kv_heads, gpus);
  for (const int64_t size : {config.intermediate, config.vocab}) (void)share_of(size, 0, 0, gpus);
}

}  // namespace

int64_t max_logit_rows(const ModelInfo& info, const EngineOptions& options, int64_t step_rows) {
  if (options.backend != "cuda") return step_rows;  // untouched pages cost nothing
  const int64_t generating = options.parallel * (info.drafter.empty() ? 1 : kMaxDecodeRows);
  return std::min(step_rows, std::max(generating, kMaxLogitBytesOnCard / (int64_t{4} * info.vocab)));
}

std::string choose_backend(const ModelConfig& config, const ModelInfo& info, const EngineOptions& options,
                           std::string& why, AskedCard& card) {
  why = why_no_cuda();
  if (why.empty() && !options.isa.empty() && options.gpu_layers < 0)
    why = "an instruction set of the CPU was asked for";
  if (why.empty() && options.kv == "q8_0") why = "KV in q8_0 is the cpu backend's";
  if (why.empty() && options.gpu_layers == 0) why = "no layers of it were asked for";
  if (!why.empty()) return "cpu";
  EngineOptions o = options;
  o.backend = "cuda";
  if (o.kv.empty()) o.kv = "bf16";
  if (o.gpus > 1) check_shares(config, o.gpus);
  const CardPlan plan = card_plan(info, o, layers_on_card(info, o), ask(card, o));
  if (plan.fits() || o.gpus > 1 || o.gpu_layers > 0) return "cuda";
  why = fmt::format("the card has {} MiB free, {} are needed", plan.free / kMiB, plan.sum() / kMiB);
  return "cpu";
}

std::string check_card(const ModelConfig& config, const ModelInfo& info, const EngineOptions& o,
                       AskedCard& card) {
  if (o.gpus > 1) check_shares(config, o.gpus);
  const int layers = layers_on_card(info, o);
  const CardPlan plan = card_plan(info, o, layers, ask(card, o));
  const std::string arithmetic =
      fmt::format("weights {} MiB + KV cache {} MiB at {} tokens + work space {} MiB = {} MiB",
                  plan.weights / kMiB, plan.kv / kMiB, o.context_tokens, plan.work / kMiB, plan.sum() / kMiB);
  if (plan.fits()) {
    if (layers < static_cast<int>(info.layers.size())) check_host(config, info, o, layers);
    return fmt::format("{} of {} free{}", arithmetic, plan.free / kMiB, o.gpus > 1 ? " on each card" : "");
  }
  int most = layers - 1;
  while (most > 0 && !card_plan(info, o, most, *card).fits()) --most;
  throw_error(ErrorKind::kTooLarge,
              "{}: {}, {} has {} MiB free{}; use {}a smaller model, --ctx, or --backend cpu", config.path,
              arithmetic, card->name, plan.free / kMiB, o.gpus > 1 ? " or less" : "",
              most > 0 && o.gpus == 1 ? fmt::format("--gpu-layers {}, ", most) : "");
}

}  // namespace tessera
