// Loading: path → config, tokenizer, tensors → backend → model, with the memory it takes checked first.
#include <algorithm>

#include "backend/layered_backend.h"
#include "base/cpu_topology.h"
#include "base/error.h"
#include "base/pack_file.h"
#include "engine/cache_files.h"
#include "engine/drafter_source.h"
#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/memory_need.h"
#include "engine/memory_plan.h"
#include "engine/model_info.h"
#include "engine/model_source.h"
#include "engine/packed_weights.h"
#include "engine/scheduler.h"

namespace tessera {
namespace {

EngineOptions resolve(EngineOptions o, const ModelConfig& config, const ModelInfo& info,
                      std::string& why_not_cuda, AskedCard& card) {
  if (o.backend != "auto" && o.backend != "cuda" && o.backend != "cpu" && o.backend != "ref")
    throw_error(ErrorKind::kBadRequest, "backend '{}' is unknown; choose auto, cuda, cpu or ref", o.backend);
  if (o.device < 0) throw_error(ErrorKind::kBadRequest, "device is {}, expected 0 or more", o.device);
  if (o.gpus < 1 || o.gpus > 64) throw_error(ErrorKind::kBadRequest, "gpus is {}, expected 1 … 64", o.gpus);
  if (o.gpu_layers < -1)
    throw_error(ErrorKind::kBadRequest, "gpu_layers is {}, expected -1 (all) or more", o.gpu_layers);
  if (o.backend == "cuda" && o.gpu_layers == 0)
    throw_error(ErrorKind::kBadRequest, "gpu_layers is 0: nothing is left for cuda; use backend cpu");
  if (o.threads < 0 || o.threads > 1024)
    throw_error(ErrorKind::kBadRequest, "threads is {}, expected 0 … 1024", o.threads);
  if (o.threads == 0) o.threads = read_cpu_topology().threads();
  if (o.chunk_tokens < 1 || o.chunk_tokens > 16384)
    throw_error(ErrorKind::kBadRequest, "chunk is {} tokens, expected 1 … 16384", o.chunk_tokens);
  if (o.context_tokens == 0) o.context_tokens = default_context(config.max_context);
  if (o.context_tokens < 16 || o.context_tokens > config.max_context)
    throw_error(ErrorKind::kBadRequest, "context is {} tokens, expected 16 … {} (the model's maximum)",
                o.context_tokens, config.max_context);
  if (o.parallel < 1 || o.parallel > 1024)
    throw_error(ErrorKind::kBadRequest, "parallel is {}, expected 1 … 1024", o.parallel);
  if (o.max_queue < 0)
    throw_error(ErrorKind::kBadRequest, "max_queue is {}, expected 0 or more", o.max_queue);
  if (!(o.max_step_ms > 0))
    throw_error(ErrorKind::kBadRequest, "max_step_ms is {}, expected more than 0", o.max_step_ms);
  if (o.cache_ram_bytes < 0 || o.cache_disk_bytes < 0)
    throw_error(ErrorKind::kBadRequest, "cache of {} bytes in memory and {} on disk, expected 0 or more",
                o.cache_ram_bytes, o.cache_disk_bytes);
  if (o.draft < -1 || o.draft > kMaxDraft)
    throw_error(ErrorKind::kBadRequest, "draft is {}, expected -1 (what pays) … {}", o.draft, kMaxDraft);
  if (o.draft_position < 0 || o.draft_position > 2)
    throw_error(ErrorKind::kBadRequest,
                "draft position is {}, expected 0 (found out), 1 (L - 1) or 2 (L - 2)", o.draft_position);
  if (!o.kv.empty()) kv_type(o.kv);
  if (o.backend == "auto") o.backend = choose_backend(config, info, o, why_not_cuda, card);
  if (o.kv.empty()) o.kv = o.backend == "ref" ? "f32" : o.backend == "cuda" ? "bf16" : info.default_kv;
  if (o.gpu_layers >= static_cast<int>(config.layers.size())) o.gpu_layers = -1;
  if (o.gpus > 1 && o.gpu_layers >= 0)
    throw_error(ErrorKind::kBadRequest, "gpus is {} and gpu_layers {}: layers beside the cards need one card",
                o.gpus, o.gpu_layers);
  if (o.backend == "ref" && o.kv != "f32")
    throw_error(ErrorKind::kBadRequest, "kv {}: the ref backend keeps K and V in f32", o.kv);
  if (o.backend == "cuda" && o.kv == "q8_0")
    throw_error(ErrorKind::kBadRequest, "kv q8_0: the cuda backend keeps K and V in bf16 or f32");
  return o;
}

// Changes with what a number in the KV cache means or where it lies (docs/DESIGN.md, KV layout).
constexpr uint64_t kKvVersion = 1;

uint64_t key_of_kv(const std::vector<std::string>& files, const EngineOptions& options,
                   const Backend& backend) {
  // The kernels' instruction set is in the name: it changes roundings.
  std::string name = backend.describe();
  name = fmt::format("{};{}", name.substr(0, name.find(',')), options.kv);
  uint64_t key = kKvVersion;
  if (const auto packed = name_pack_file("", name, files, kKvVersion)) key = packed->key;
  for (const char c : name) key = (key ^ static_cast<uint8_t>(c)) * 0x100000001B3U;
  return key;
}

}  // namespace

EngineImpl::EngineImpl(const std::string& path, const EngineOptions& wanted, std::unique_ptr<Backend> with)
    : EngineImpl(open_model(path, wanted.mmproj_path), wanted, std::move(with)) {}

EngineImpl::EngineImpl(ModelSource source, const EngineOptions& wanted, std::unique_ptr<Backend> with)
    : config(source.config),
      tokenizer(source.tokenizer ? std::move(*source.tokenizer) : load_tokenizer(config.path)) {
  const TensorStore& store = source.store;
  info = model_info(config, store, &tokenizer);
  info.mmproj = source.mmproj;
  info.note = source.note;
  std::optional<ModelSource> draft_source = find_drafter(config, wanted, info);
  AskedCard card;
  options = resolve(wanted, config, info, why_not_cuda, card);
  if (!options.cache_dir.empty() && options.cache_disk_bytes > 0) prepare_cache_folder(options.cache_dir);
  if (draft_source && options.backend == "cuda" && options.gpu_layers >= 0) {
    const std::string why = "it reads keys of the last layers, which are not on the card";
    if (!wanted.draft_model.empty())
      throw_error(ErrorKind::kBadRequest, "{}: with gpu_layers no drafter can be used: {}",
                  wanted.draft_model, why);
    forget_drafter(info, why);
    draft_source.reset();
  }
  if (draft_source && wanted.draft_model.empty() && !drafter_fits(config, info, options, card)) {
    forget_drafter(info, "there is too little memory for it");
    draft_source.reset();
  }
  if (options.backend == "cuda")
    card_plan = check_card(config, info, options, card);
  else
    check_memory(config.path, memory_need(info, options));
  if (with) {
    backend = std::move(with);
  } else if (options.backend == "ref") {
    backend = make_ref_backend();
  } else if (options.backend == "cuda") {
    options.pack_dir = "";
    options.lock_memory = false;  // a card's memory is never swapped out
    backend =
        make_cuda_backend({.device = options.device, .exact = options.kv == "f32", .gpus = options.gpus});
    if (options.gpu_layers > 0)
      backend = make_layered_backend(std::move(backend), make_cpu_backend(options.threads, options.isa),
                                     options.gpu_layers, static_cast<int>(config.layers.size()));
  } else {
    std::unique_ptr<PackFile> packed = open_packed_weights(options.pack_dir, store, info);
    options.pack_dir = packed ? packed->path() : "";
    backend = make_cpu_backend(options.threads, options.isa, std::move(packed),
                               {.pin = options.pin_threads, .lock_memory = options.lock_memory});
  }
  model = bind_model(config, store, *backend, options.on_progress);
  if (draft_source)
    drafter = std::make_unique<Drafter>(*backend,
                                        bind_model(draft_source->config, draft_source->store, *backend, {}),
                                        model, options.parallel);
  const int64_t rows = step_rows(info, options);
  backend->reserve(rows);
  kv_key = key_of_kv(store.paths(), options, *backend);
  scratch = std::make_unique<Scratch>(*backend, model, rows, max_logit_rows(info, options, rows));
  media_memory = backend->allocate(rows * config.hidden * dtype_bytes(DType::kF32));
  media = {media_memory.get(), rows, config.hidden, DType::kF32};
  scheduler = std::make_unique<Scheduler>(*this);
}

EngineImpl::~EngineImpl() = default;

int64_t EngineImpl::max_step_tokens() const {
  return std::max<int64_t>(options.chunk_tokens, model.has_vision() ? kMaxVisionBlock : kMaxDecodeRows);
}

Engine::Engine(std::unique_ptr<EngineImpl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

std::shared_ptr<Engine> make_engine(std::unique_ptr<EngineImpl> impl) {
  return std::shared_ptr<Engine>(new Engine(std::move(impl)));
}

std::shared_ptr<Engine> Engine::load(const std::string& path, const EngineOptions& options) {
  return make_engine(std::make_unique<EngineImpl>(path, options));
}

const ModelInfo& Engine::info() const {
  return impl_->info;
}
const EngineOptions& Engine::options() const {
  return impl_->options;
}
EngineStatus Engine::status() const {
  return impl_->scheduler->status();
}
std::string Engine::backend() const {
  return impl_->backend->describe() + (impl_->card_plan.empty() ? "" : "; " + impl_->card_plan) +
         (impl_->why_not_cuda.empty() ? "" : fmt::format(" (no GPU: {})", impl_->why_not_cuda));
}

namespace {

std::string decode_checked(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  for (const int32_t id : ids)
    if (id < 0 || id >= tokenizer.vocab_size())
      throw_error(ErrorKind::kBadRequest, "token id {} is outside of the vocabulary of {}", id,
                  tokenizer.vocab_size());
  return tokenizer.decode(ids);
}

}  // namespace

std::vector<int32_t> Engine::tokenize(std::string_view text) const {
  return impl_->tokenizer.encode(text);
}

std::string Engine::detokenize(std::span<const int32_t> ids) const {
  return decode_checked(impl_->tokenizer, ids);
}

std::vector<int32_t> tokenize(const std::string& model_path, std::string_view text) {
  return load_tokenizer(model_path).encode(text);
}

std::string detokenize(const std::string& model_path, std::span<const int32_t> ids) {
  return decode_checked(load_tokenizer(model_path), ids);
}

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kToolCall:
      return "tool_call";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContextFull:
      return "context_full";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kTimeLimit:
      return "time_limit";
  }
  return "unknown";
}

}  // namespace tessera
