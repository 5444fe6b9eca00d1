// Loading: path → config, tokenizer, tensors → backend → model, with the memory it takes checked first.
#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/machine.h"
#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/memory_plan.h"
#include "engine/model_info.h"
#include "engine/model_source.h"

namespace tessera {
namespace {

constexpr int64_t kDefaultContext = 8192;

EngineOptions resolve(EngineOptions o, const ModelConfig& config, const ModelInfo& info,
                      std::string& why_not_cuda) {
  if (o.backend != "auto" && o.backend != "cuda" && o.backend != "cpu" && o.backend != "ref")
    throw_error(ErrorKind::kBadRequest, "backend '{}' is unknown; choose auto, cuda, cpu or ref", o.backend);
  if (o.threads < 0 || o.threads > 1024)
    throw_error(ErrorKind::kBadRequest, "threads is {}, expected 0 … 1024", o.threads);
  if (o.threads == 0) o.threads = cpu_cores();
  if (o.chunk_tokens < 1 || o.chunk_tokens > 16384)
    throw_error(ErrorKind::kBadRequest, "chunk is {} tokens, expected 1 … 16384", o.chunk_tokens);
  if (o.context_tokens == 0) o.context_tokens = std::min<int64_t>(config.max_context, kDefaultContext);
  if (o.context_tokens < 16 || o.context_tokens > config.max_context)
    throw_error(ErrorKind::kBadRequest, "context is {} tokens, expected 16 … {} (the model's maximum)",
                o.context_tokens, config.max_context);
  if (!o.kv.empty()) kv_type(o.kv);
  if (o.backend == "auto") o.backend = choose_backend(config, info, o, why_not_cuda);
  if (o.kv.empty()) o.kv = o.backend == "ref" ? "f32" : o.backend == "cuda" ? "bf16" : info.default_kv;
  if (o.backend == "ref" && o.kv != "f32")
    throw_error(ErrorKind::kBadRequest, "kv {}: the ref backend keeps K and V in f32", o.kv);
  if (o.backend == "cuda" && o.kv == "q8_0")
    throw_error(ErrorKind::kBadRequest, "kv q8_0: the cuda backend keeps K and V in bf16 or f32");
  return o;
}

// Packing a smaller model takes less than a second.
constexpr int64_t kMinPackFileBytes = int64_t{1} << 30;

uint64_t hash(uint64_t h, std::string_view bytes) {  // FNV-1a
  for (const char c : bytes) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return h;
}

// One file for each model path, so that a model that changes replaces its own; the key says whether it is
// this model's.
std::unique_ptr<PackFile> open_pack_file(const std::string& directory, const TensorStore& store,
                                         ModelInfo& info) {
  if (directory.empty() || info.weight_bytes < kMinPackFileBytes) return nullptr;
  uint64_t name = 0xcbf29ce484222325, key = name + kCpuPackVersion;
  for (const std::string& path : store.paths()) {
    std::error_code failed;
    const auto absolute = std::filesystem::canonical(path, failed);
    const auto changed = std::filesystem::last_write_time(path, failed).time_since_epoch().count();
    if (failed) return nullptr;
    name = hash(name, absolute.string());
    key = hash(
        key, fmt::format("{}:{}:{};", absolute.string(), std::filesystem::file_size(path, failed), changed));
  }
  const std::string stem = std::filesystem::path(info.path).stem().string();
  std::string why;
  auto file = PackFile::open(fmt::format("{}/{}-{:016x}.pack", directory, stem, name), key,
                             info.weight_bytes + info.weight_bytes / 50 + (int64_t{64} << 20), why);
  if (!file)
    info.note += fmt::format("{}packed weights are not kept: {}", info.note.empty() ? "" : "; ", why);
  return file;
}

}  // namespace

EngineImpl::EngineImpl(const std::string& path, const EngineOptions& wanted)
    : EngineImpl(open_model(path, wanted.mmproj_path), wanted) {}

EngineImpl::EngineImpl(ModelSource source, const EngineOptions& wanted)
    : config(source.config),
      tokenizer(source.tokenizer ? std::move(*source.tokenizer) : load_tokenizer(config.path)) {
  const TensorStore& store = source.store;
  info = model_info(config, store, &tokenizer);
  info.mmproj = source.mmproj;
  info.note = source.note;
  options = resolve(wanted, config, info, why_not_cuda);
  check_memory(config, info, options);
  if (options.backend == "ref") {
    backend = make_ref_backend();
  } else if (options.backend == "cuda") {
    options.pack_dir = "";
    backend = make_cuda_backend({.device = 0, .exact = options.kv == "f32"});
  } else {
    std::unique_ptr<PackFile> packed = open_pack_file(options.pack_dir, store, info);
    options.pack_dir = packed ? packed->path() : "";
    backend = make_cpu_backend(options.threads, options.isa, std::move(packed));
  }
  model = bind_model(config, store, *backend, options.on_progress);
  const int64_t rows = max_step_tokens();
  backend->reserve(rows);
  scratch = std::make_unique<Scratch>(*backend, model, rows, max_logit_rows(config, options, rows));
  media_memory = backend->allocate(rows * config.hidden * dtype_bytes(DType::kF32));
  media = {media_memory.get(), rows, config.hidden, DType::kF32};
}

int64_t EngineImpl::max_step_tokens() const {
  return std::max<int64_t>(options.chunk_tokens, model.has_vision() ? kMaxVisionBlock : 1);
}

Engine::Engine(std::unique_ptr<EngineImpl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

std::shared_ptr<Engine> Engine::load(const std::string& path, const EngineOptions& options) {
  return std::shared_ptr<Engine>(new Engine(std::make_unique<EngineImpl>(path, options)));
}

const ModelInfo& Engine::info() const {
  return impl_->info;
}
const EngineOptions& Engine::options() const {
  return impl_->options;
}
std::string Engine::backend() const {
  return impl_->backend->describe() +
         (impl_->why_not_cuda.empty() ? "" : fmt::format(" (no GPU: {})", impl_->why_not_cuda));
}

std::vector<int32_t> tokenize(const std::string& model_path, std::string_view text) {
  return load_tokenizer(model_path).encode(text);
}

std::string detokenize(const std::string& model_path, std::span<const int32_t> ids) {
  const Tokenizer tokenizer = load_tokenizer(model_path);
  for (const int32_t id : ids)
    if (id < 0 || id >= tokenizer.vocab_size())
      throw_error(ErrorKind::kBadRequest, "token id {} is outside of the vocabulary of {}", id,
                  tokenizer.vocab_size());
  return tokenizer.decode(ids);
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
  }
  return "unknown";
}

}  // namespace tessera
