#pragma once
// Tessera: one engine for one model, Gemma 4 Unified. The public header, with tools.h at its end.
//
// Two nouns: an Engine is a loaded model; a Session is one conversation on it. Media are decoded first, on any
// thread. Everything that can fail throws Error; no input ends the process. Sources cited are in docs/spec.
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

enum class ErrorKind {
  kIo,          // a file is missing or cannot be read or written
  kBadModel,    // a model file contradicts itself or its config
  kBadMedia,    // an image, sound or video that cannot be decoded
  kBadRequest,  // the caller's request cannot be carried out as stated
  kTooLarge,    // the request is valid but over a limit; the message has both numbers
  kDevice,      // the backend failed
  kBusy,        // too many requests wait already; the same request may be tried again later
};

/// What ends a load or a request. what() says where, what was found, what was expected and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// ---------------------------------------------------------------------------------------------- media

/// Bounds on one media file, checked before memory is taken. Over a bound: Error(kTooLarge) with both
/// numbers.
struct MediaLimits {
  int64_t max_file_bytes = int64_t{512} << 20;
  int64_t max_image_pixels = 150'000'000;  // of the encoded image or of one video frame
  double max_audio_s = 600;
  double max_video_s = 3600;
};

struct VideoOptions {
  int soft_token_budget = 70;  // per frame
  int max_frames = 32;         // sampled uniformly: frame floor(j * total / max_frames)
  double fps = 0;              // > 0: sample at this rate instead, still at most max_frames * 8 frames
};

enum class MediaKind { kImage, kAudio, kVideo };

struct MediaData;

/// A decoded image, sound or video, ready for the model. Immutable; copying shares the data; any thread.
class Media {
 public:
  /// `file`: the bytes of a JPEG, PNG, WebP, GIF (first frame), BMP or TIFF. `name` is used in errors only.
  /// `soft_token_budget`: 70, 140, 280, 560 or 1120. The image is turned upright (EXIF), resized to the
  /// target size and cut into 48x48 patches here. Throws kBadMedia, kTooLarge, kBadRequest (budget).
  static Media image(std::span<const uint8_t> file, std::string name, int soft_token_budget = 280,
                     const MediaLimits& limits = {});
  /// WAV, MP3, FLAC, Ogg Vorbis, Opus, M4A; any rate and channel count; becomes 16 kHz mono, 40 ms a token.
  /// Throws kBadMedia (also for zero samples), kTooLarge.
  static Media audio(std::span<const uint8_t> file, std::string name, const MediaLimits& limits = {});
  static std::vector<struct AudioSegment> audio_segments(std::span<const uint8_t> file, std::string name,
                                                         double segment_s, const MediaLimits& limits = {});
  /// MP4, WebM, MOV. Frames only; the sound track is a part of its own: audio() on the same bytes.
  /// Throws kBadMedia (also for no frames), kTooLarge, kBadRequest.
  static Media video(std::span<const uint8_t> file, std::string name, const VideoOptions& options = {},
                     const MediaLimits& limits = {});

  MediaKind kind() const;
  int soft_tokens() const;  // without the begin and end markers and the time stamps
  /// What the model sees: PNG of the resized picture (image; first frame of a video), with the 48-pixel grid
  /// drawn when `grid`. Empty for audio.
  std::vector<uint8_t> preview_png(bool grid) const;
  /// One line for people: "640x480 -> 912x672, 19x14 patches, 266 soft tokens".
  std::string describe() const;

  const std::shared_ptr<const MediaData>& data() const { return data_; }

 private:
  explicit Media(std::shared_ptr<const MediaData> data) : data_(std::move(data)) {}
  std::shared_ptr<const MediaData> data_;
};

// ---------------------------------------------------------------------------------------------- model

/// How the next token is chosen. The defaults are the published 12B's; a model's own are in ModelInfo.
struct Sampling {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 64;            // 0: all
  float top_p = 0.95f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f, presence_penalty = 0.0f, frequency_penalty = 0.0f;
  std::optional<uint64_t> seed;  // absent: a fresh one, reported in Reply
};

struct LayerInfo {
  bool sliding = false;
  int q_heads = 0, kv_heads = 0, head_dim = 0;
  bool v_is_k = false;  // V is the K projection before its norm
  int64_t parameters = 0;
};

struct TensorCount {
  std::string dtype;  // "BF16", "F32", "affine 8-bit/64" …
  int64_t tensors = 0, parameters = 0, bytes = 0;
};

/// What `tessera inspect` prints. Counts are parameters, sizes are bytes.
struct ModelInfo {
  std::string path, format;  // "safetensors, 3 files", "GGUF, 1 file and an mmproj"
  std::string mmproj;        // the file that a GGUF model's vision and audio come from; "" for none
  std::string drafter;       // its directory or file; "" for none
  std::string note;          // why an mmproj or a drafter beside the model is not used; "" for nothing to say
  int hidden = 0, intermediate = 0, vocab = 0, max_context = 0, window = 0;
  int mm_embed = 0, audio_samples_per_token = 0;
  float logit_softcap = 0;    // 0: none
  int drafts_for_hidden = 0;  // of a drafter: hidden size of its model; else 0
  std::vector<LayerInfo> layers;
  int64_t embedding_parameters = 0, text_parameters = 0;            // text: embedding + layers + final norm
  int64_t vision_parameters = 0, vision_projection_parameters = 0;  // patch path; its last projection
  int64_t audio_parameters = 0, total_parameters = 0;
  std::vector<TensorCount> dtypes;
  int64_t file_bytes = 0;
  int vocab_entries = 0, merges = 0, control_tokens = 0;
  std::vector<int32_t> end_tokens, suppressed_tokens;
  int default_image_budget = 280, default_video_budget = 70;
  Sampling default_sampling;  // generation_config.json; temperature 0 where it says do_sample false
  /// The KV cache's number format when EngineOptions::kv is "": "bf16" when weights are quantised, else
  /// "f32".
  std::string default_kv = "f32";
  /// Bytes of weights as the CPU backend holds them, and of the KV cache at `context_tokens`; kv as in
  /// EngineOptions, "": default_kv.
  int64_t weight_bytes = 0, drafter_weight_bytes = 0;
  int64_t kv_bytes(int64_t context_tokens, int chunk_tokens = 512, const std::string& kv = "") const;
};

/// Reads headers and config only. `path`, `mmproj_path`: as Engine::load and EngineOptions take them. Throws
/// kIo, kBadModel, kBadRequest. Any thread.
ModelInfo inspect_model(const std::string& path, const std::string& mmproj_path = "");

/// Soft tokens that a model gives an image and a video frame by default.
struct MediaBudgets {
  int image = 280, video_frame = 70;
};
/// Reads the config only. Throws as inspect_model.
MediaBudgets media_budgets(const std::string& path);

struct EngineOptions {
  /// "cuda": an NVIDIA card. "cpu". "ref": scalar float32, slow, the oracle. "auto": cuda where a card is
  /// usable and the model fits on it, else cpu.
  std::string backend = "auto";
  int device = 0;              // of cuda: the card, as the driver counts; Error(kDevice) where there is none
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
  int64_t cache_hits = 0;  // requests that took something from it, slots not counted
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
  explicit Engine(std::unique_ptr<EngineImpl> impl);
  std::unique_ptr<EngineImpl> impl_;
};

/// Text to ids with the model's tokenizer; control tokens in the text are parsed; no <bos> is added.
/// Needs only tokenizer.json, or a GGUF's metadata. Throws kIo, kBadModel.
std::vector<int32_t> tokenize(const std::string& model_path, std::string_view text);
std::string detokenize(const std::string& model_path, std::span<const int32_t> ids);

/// The Gemma 4 chat format. `request_json`: {"messages": […], "tools"?: […], "enable_thinking"?: bool,
/// "preserve_thinking"?: bool, "add_generation_prompt"?: bool (true when absent)}. Returns the prompt text,
/// which starts with <bos> and has one placeholder per media part. Throws kBadRequest for what the format
/// refuses.
std::string render_chat(std::string_view request_json);

// ---------------------------------------------------------------------------------------------- conversation

/// Added to a token's logit, as penalties are, before temperature.
struct LogitBias {
  int32_t id = 0;  // 0 … vocabulary - 1, each at most once
  float bias = 0;  // -100 … 100; -100: never chosen
};

/// A function that the reply may call.
struct ToolDeclaration {
  std::string name;             // letters, digits, _ . -
  std::string parameters_json;  // JSON schema of the arguments, an object's; "": any object
};
enum class ToolChoice {
  kAuto,      // text, or calls of the tools given
  kNone,      // no calls
  kRequired,  // at least one call and nothing else (a thought before it excepted)
};

/// What the reply must be. It binds the answer, never the thought; end tokens are chosen exactly when the
/// answer is complete. A schema is compiled by generate() and kept by the engine. Supported:
/// docs/structured-output.md; what is not is Error(kBadRequest) with the path in the schema and the keyword.
struct ReplyFormat {
  bool json_object = false;  // the answer is a JSON object
  std::string json_schema;   // the answer is JSON of this schema; "": none. Not with json_object
  /// Calls have these names and arguments. Empty: calls are not constrained (tool_choice kNone still forbids
  /// them; kRequired is an error). With a schema or json_object, the answer is JSON or calls.
  std::vector<ToolDeclaration> tools;
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string tool_name;            // with kRequired: only this one of `tools`; "": any
  bool parallel_tool_calls = true;  // false: the reply ends after one call
};

struct GenerateOptions {
  Sampling sampling;
  int max_tokens = 0;              // 0: until the model stops or the context is full
  int min_tokens = 0;              // end tokens are not chosen before; `format` has precedence
  std::vector<std::string> stop;   // stop strings; they are not part of the reply
  bool ignore_end_tokens = false;  // go on past <turn|> and the like
  double timeout_ms = 0;           // 0: none; from the call on, waiting included: FinishReason::kTimeLimit
  std::vector<LogitBias> logit_bias = {};
  int top_logprobs = -1;             // 0 … 20 alternatives for each token; -1: no log-probabilities
  int reasoning_budget_tokens = -1;  // tokens in the thought channel, then it is closed; -1: no limit
  ReplyFormat format = {};
};

/// Natural logarithm of a token's probability: log-softmax of the model's logits (softcap included), before
/// bias, penalties, constraints and temperature.
struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
  std::string bytes = {};  // what the token stands for; part of a character for byte tokens
};
struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top = {};  // the likeliest, best first; GenerateOptions::top_logprobs of them
  bool in_answer = false;              // its bytes are part of the answer's text: no thought, call or marker
};

struct ToolCall {
  std::string name;
  std::string arguments_json;  // an object; when `parsed` is false, the raw text of the call
  bool parsed = true;
};

enum class EventKind { kPrefill, kThought, kText, kToolCall };

/// Delivered from generate(), on the caller's thread, in order. The engine is at most one step ahead: a
/// caller that takes its time holds up its own reply and no other.
struct Event {
  EventKind kind;
  std::string text;                         // kThought, kText: whole UTF-8 characters only
  ToolCall tool_call;                       // kToolCall
  int prefill_done = 0, prefill_total = 0;  // kPrefill: tokens
  /// kText, when asked for: of the answer's tokens since the last event that had some. Text is held back for
  /// whole characters and stop strings, so these may end before or after the event's text does.
  std::vector<TokenLogprobs> logprobs = {};
};

enum class FinishReason { kStop, kStopString, kToolCall, kLength, kContextFull, kCancelled, kTimeLimit };
const char* to_string(FinishReason reason);

struct Usage {
  int prompt_tokens = 0;  // all of the prompt
  int cached_tokens = 0;  // of these, not computed again: this session's or another's, or the prefix cache's
  int completion_tokens = 0;
  int drafted_tokens = 0, draft_rounds = 0, accepted_tokens = 0;  // rounds: steps that verified drafts
  double queued_ms = 0, prefill_ms = 0, generate_ms = 0, plain_token_ms = 0;  // last: undrafted; 0: unknown
  double prompt_per_s() const {
    return prefill_ms > 0 ? (prompt_tokens - cached_tokens) * 1e3 / prefill_ms : 0;
  }
  double generate_per_s() const { return generate_ms > 0 ? (completion_tokens - 1) * 1e3 / generate_ms : 0; }
};

struct Reply {
  std::string text, thought;
  std::vector<ToolCall> tool_calls;
  std::vector<int32_t> ids;                  // as generated, the end token included
  std::vector<TokenLogprobs> logprobs = {};  // of ids, in order; empty unless asked for
  /// "", or in which way the reply is not what was asked for: a call that cannot be read (parsed is false),
  /// JSON cut off by max_tokens.
  std::string warning = {};
  FinishReason finish = FinishReason::kStop;
  uint64_t seed = 0;
  Usage usage;
};

/// One conversation: a sequence of tokens and media, its KV cache, and what was generated so far. Not
/// thread-safe, but cancel() may be called from any thread. append_* only record; the work is done in
/// generate().
class Session {
 public:
  explicit Session(std::shared_ptr<Engine> engine);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Control tokens in `text` are parsed, as the reference does; neighbouring texts are tokenized as one
  /// string.
  void append_text(std::string_view text);
  void append_tokens(std::span<const int32_t> ids);
  /// Begin marker, soft tokens, end marker; for a video, time stamps too.
  void append_media(const Media& media);
  /// Replaces the whole conversation by a rendered chat (render_chat) with `media` in the order of their
  /// placeholders. What is already in the KV cache and equal stays. Throws kBadRequest when placeholders and
  /// media do not match in number or kind.
  void set_prompt(std::string_view rendered, std::span<const Media> media);

  /// Prefills what is new, then generates. The reply's tokens become part of the conversation.
  /// Throws kTooLarge (context, with the numbers), kBadRequest, kBusy, kDevice, and what on_event throws.
  Reply generate(const GenerateOptions& options, const std::function<void(const Event&)>& on_event = {});
  /// Makes a running generate() return within one step with FinishReason::kCancelled.
  void cancel();
  void clear();
  /// Tokens so far, prompt and replies. Not while generate() runs, on_event included.
  int tokens() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera

#include "tessera/tools.h"
