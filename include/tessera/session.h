#pragma once
// One conversation on an engine: what is asked of it and what it answers.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/engine.h"
#include "tessera/media.h"

namespace tessera {

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
  bool drafted = false;                // the drafter had proposed it, and the model chose the same
};

struct ToolCall {
  std::string name;
  std::string arguments_json;  // an object; when `parsed` is false, the raw text of the call
  bool parsed = true;
};

enum class EventKind { kPrefill, kThought, kText, kToolCall };

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
  Usage usage = {};  // so far
};

enum class FinishReason { kStop, kStopString, kToolCall, kLength, kContextFull, kCancelled, kTimeLimit };
const char* to_string(FinishReason reason);

struct Reply {
  std::string text, thought;
  std::vector<ToolCall> tool_calls;
  std::vector<int32_t> ids;                  // as generated, the end token included
  std::vector<TokenLogprobs> logprobs = {};  // of ids, in order; empty unless asked for
  /// "", or in which way the reply is not what was asked for: a call that cannot be read (parsed is false),
  /// JSON cut off by max_tokens.
  std::string warning = {};
  FinishReason finish = FinishReason::kStop;
  std::string stop_string = {};  // GenerateOptions::stop that ended it; "": none did
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
