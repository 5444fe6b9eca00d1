#include "engine/memory_need.h"

#include <algorithm>

#include "base/error.h"
#include "base/machine.h"
#include "engine/engine_impl.h"

namespace tessera {
namespace {

constexpr int64_t kDefaultContext = 8192, kMinContext = 16, kContextStep = 256;
// The program, its tokenizer and the threads' buffers: a model of six layers of the 12B's took 125 MB beyond
// the rest.
constexpr int64_t kProgramBytes = int64_t{128} << 20;

}  // namespace

int64_t step_rows(const ModelInfo& info, const EngineOptions& options) {
  return std::max<int64_t>(options.chunk_tokens, info.vision_parameters > 0 ? kMaxVisionBlock : 1) +
         (options.parallel - 1) * kMaxDecodeRows;
}

int64_t default_context(int64_t max_context) {
  return std::min(max_context, kDefaultContext);
}

int64_t step_bytes(const ModelInfo& info, int64_t rows, int64_t logit_rows) {
  int64_t qkv = 0, q = 0, angles = 0;
  int sliding_dim = 0, full_dim = 0;
  for (const LayerInfo& l : info.layers) {
    const int64_t q_cols = int64_t{l.q_heads} * l.head_dim;
    qkv = std::max(qkv, q_cols + int64_t{l.kv_heads} * (l.v_is_k ? 1 : 2) * l.head_dim);
    q = std::max(q, q_cols);
    (l.sliding ? sliding_dim : full_dim) = l.head_dim;
  }
  angles = sliding_dim + full_dim;  // cos and sin of half the dimensions each, by kind of layer
  const int64_t hidden = info.hidden;
  return 4 * (rows * (3 * hidden + qkv + 2 * q + info.intermediate + angles + hidden) +
              logit_rows * (hidden + info.vocab));
}

bool MemoryNeed::fits() const {
  return available_bytes <= 0 || total_bytes() <= available_bytes;
}

std::string MemoryNeed::arithmetic() const {
  std::string text =
      fmt::format("weights {} MiB + KV cache {} MiB at {} tokens + work space {} MiB = {} MiB",
                  weight_bytes >> 20, kv_bytes >> 20, context_tokens, work_bytes >> 20, total_bytes() >> 20);
  if (available_bytes > 0) text += fmt::format(", this machine has {} MiB available", available_bytes >> 20);
  return text;
}

MemoryNeed memory_need(const ModelInfo& info, const EngineOptions& options, int64_t available_bytes) {
  MemoryNeed need;
  const bool ref = options.backend == "ref";
  const std::string kv = options.kv.empty() && ref ? "f32" : options.kv;
  const int64_t rows = step_rows(info, options);
  need.available_bytes = available_bytes < 0 ? available_memory_bytes() : available_bytes;
  need.context_tokens =
      options.context_tokens > 0 ? options.context_tokens : default_context(info.max_context);
  need.weight_bytes = (ref ? info.total_parameters * 4 : info.weight_bytes) + info.drafter_weight_bytes;
  need.kv_bytes = options.parallel * info.kv_bytes(need.context_tokens, options.chunk_tokens, kv);
  // Activations of byte products are kept as codes, too: 3 bytes for 2 values, of two inputs.
  const int64_t codes = rows * std::max<int64_t>(info.intermediate, info.hidden) * 3;
  need.work_bytes = step_bytes(info, rows) + codes + kProgramBytes + options.cache_ram_bytes;

  // The KV cache grows with the context: the last one that fits, by halves.
  const auto fits_at = [&](int64_t context) {
    return need.weight_bytes + need.work_bytes +
               options.parallel * info.kv_bytes(context, options.chunk_tokens, kv) <=
           need.available_bytes;
  };
  int64_t below = 0, above = int64_t{info.max_context} + 1;
  if (need.available_bytes <= 0) below = info.max_context;
  while (need.available_bytes > 0 && above - below > 1) {
    const int64_t middle = below + (above - below) / 2;
    (fits_at(middle) ? below : above) = middle;
  }
  if (below < info.max_context && below > kContextStep) below = below / kContextStep * kContextStep;
  need.largest_context = below < std::min<int64_t>(kMinContext, info.max_context) ? 0 : below;
  return need;
}

void check_memory(const std::string& path, const MemoryNeed& need) {
  if (need.fits()) return;
  throw_error(ErrorKind::kTooLarge, "{}: {}; {}", path, need.arithmetic(),
              need.largest_context > 0
                  ? fmt::format("--ctx {} fits, a smaller --kv or a smaller model too", need.largest_context)
                  : std::string("no --ctx fits: use a smaller model, or a quantised one (tessera quantize)"));
}

}  // namespace tessera
