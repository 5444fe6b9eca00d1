#pragma once
// A loaded model.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/model.h"

namespace tessera {

struct EngineOptions {
  /// "cuda": an NVIDIA card. "cpu". "ref": scalar float32, slow, the oracle. "auto": cuda where a card is
  /// usable and the model fits on it, else cpu.
  std::string backend = "auto";
  int device = 0;  // of cuda: the card, as the driver counts; Error(kDevice) where there is none
  /// Cards from `device` on that compute as one (cuda). What they share out evenly: heads, feed-forward
  /// width, vocabulary; kBadRequest where that is not possible.
  int gpus = 1;
  /// The first so many layers on the card, the rest on the CPU (cuda, one card); -1: all.
  int gpu_layers = -1;
  int threads = 0;             // 0: one per physical core that this process may use
  int64_t context_tokens = 0;  // 0: the smaller of the model's maximum and 8,192
  int chunk_tokens = 512;      // prefill step; a vision block is never split, whatever this is
  /// "" = best of this CPU; "portable", "avx2", "avxvnni", "avx512", "amx" or "neon": that one.
  std::string isa;
  /// KV cache: "f32", "bf16" or "q8_0" (9 bits a value; cpu only). "": ModelInfo::default_kv on cpu, bf16 on
  /// cuda, where "f32" means float32 activations, too: exact and several times slower.
  std::string kv;
  /// Folder where the first load of 1 GiB or more leaves packed weights for later loads to map. "": none.
  /// Engine::options() has the file's path here, or "".
  std::string pack_dir;
  bool pin_threads = false;  // worker threads stay on cores of their own; the caller's is left alone
  /// Weights and KV cache are taken at once and never swapped out; kTooLarge when that is not allowed.
  bool lock_memory = false;
  /// Of a GGUF model. "": an mmproj*.gguf beside it that is named after it, or the only one there; ModelInfo
  /// says which. Of another model: kBadModel. With a directory: kBadRequest.
  std::string mmproj_path;
  /// Conversations that generate at once; each has a KV cache of context_tokens of its own.
  int parallel = 1;
  /// Requests that may wait for one of these; one more is Error(kBusy).
  int max_queue = 1024;
  /// A long prompt adds no more than about this to the time between two tokens of the others (an image's
  /// tokens, which are computed at once, may).
  double max_step_ms = 200;
  /// Prefixes of earlier conversations (tokens and media) kept for later ones. In memory: 0: none beyond what
  /// the slots hold. On disk, over restarts: a folder made if missing, "": none.
  int64_t cache_ram_bytes = 0;
  std::string cache_dir;
  int64_t cache_disk_bytes = int64_t{8} << 30;
  /// Directory or .gguf; "": the one beside the model. Of another model: kBadModel.
  std::string draft_model;
  int draft = -1, draft_position = 0;  // a step: -1: what pays, 0: none; 1: L - 1, 2: L - 2, 0: the better
  /// Called during load with the fraction done, 0 … 1, from the loading thread.
  std::function<void(double)> on_progress;
};

/// What an engine is doing, at one moment. Totals count from the load on.
struct SlotStatus {
  enum class State { kIdle, kPrefilling, kGenerating };
  State state = State::kIdle;
  int held_tokens = 0;    // in the KV cache
  int prompt_tokens = 0;  // of the running request
  int completion_tokens = 0;
};
struct EngineStatus {
  std::vector<SlotStatus> slots;  // EngineOptions::parallel of them
  int queued = 0;
  int64_t requests = 0, refused = 0;  // finished, whatever way; answered with kBusy
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  int64_t steps = 0, step_rows = 0;  // passes through the model, and rows in them
  double busy_ms = 0;                // spent in them
  double longest_step_ms = 0;
  int64_t cache_ram_bytes = 0, cache_disk_bytes = 0, cache_entries = 0;  // of the prefix cache
  int64_t cache_hits = 0;       // requests that took something from it, slots not counted
  int64_t kv_shared_bytes = 0;  // that slots would need more if none had pages of another's beginning
};

class EngineImpl;

/// A loaded model. Immutable after load; any thread may use it. Requests of up to EngineOptions::parallel
/// sessions share each pass through the model; others wait, first come first served.
class Engine {
 public:
  /// `path`: a Hugging Face directory (config.json, tokenizer.json, *.safetensors; plain or MLX affine), or a
  /// GGUF file (any part of a split one). Throws kIo, kBadModel, kTooLarge (not enough memory, with the
  /// arithmetic), kBadRequest (options).
  static std::shared_ptr<Engine> load(const std::string& path, const EngineOptions& options = {});
  ~Engine();

  const ModelInfo& info() const;
  const EngineOptions& options() const;  // as resolved: backend, threads and context_tokens are filled in
  /// What computes, for people: "cpu avx512, 2 threads", "cuda NVIDIA H200".
  std::string backend() const;
  EngineStatus status() const;
  /// As the functions below, with the tokenizer that is loaded. Any thread.
  std::vector<int32_t> tokenize(std::string_view text) const;
  std::string detokenize(std::span<const int32_t> ids) const;
  EngineImpl& impl() const { return *impl_; }

 private:
  friend std::shared_ptr<Engine> make_engine(std::unique_ptr<EngineImpl> impl);
  explicit Engine(std::unique_ptr<EngineImpl> impl);
  std::unique_ptr<EngineImpl> impl_;
};

/// Text to ids with the model's tokenizer; control tokens in the text are parsed; no <bos> is added.
/// Needs only tokenizer.json, or a GGUF's metadata. Throws kIo, kBadModel.
std::vector<int32_t> tokenize(const std::string& model_path, std::string_view text);
std::string detokenize(const std::string& model_path, std::span<const int32_t> ids);

/// The Gemma 4 chat format. `request_json`: {"messages": […], "tools"?: […], "enable_thinking"?: bool,
/// "preserve_thinking"?: bool, "add_generation_prompt"?: bool (true when absent), "continue_final_message"?:
/// bool}. The last: the last message is the assistant's, without calls, and stays open; what is generated
/// goes on from its last character (from its thought's, when there is no text). Returns the prompt text,
/// which starts with <bos> and has one placeholder per media part. Throws kBadRequest for what the format
/// refuses.
std::string render_chat(std::string_view request_json);

}  // namespace tessera
