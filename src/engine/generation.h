#pragma once
// One request in flight: prefilling → decoding → finished. It says which rows it wants in the next step and
// turns the logits of its rows into tokens, text and events. It knows no threads and no other request.
#include <chrono>
#include <optional>
#include <vector>

#include "engine/draft_depth.h"
#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/stop_strings.h"
#include "text/reply_parser.h"
#include "text/reply_rules.h"

namespace tessera {

class Generation {
 public:
  enum class State { kWaiting, kPrefilling, kDecoding, kFinished };

  /// `sequence`: flushed; the generation appends to it and must be its only user until it is finished.
  /// `reply_begin`: first position that was generated before, when this reply goes on from another.
  /// Throws Error(kBadRequest | kTooLarge).
  Generation(EngineImpl& engine, Sequence& sequence, int64_t reply_begin, const GenerateOptions& options);

  State state() const { return state_; }
  Sequence& sequence() { return *sequence_; }
  const Sequence& sequence() const { return *sequence_; }
  const GenerateOptions& options() const { return options_; }
  const Reply& reply() const { return reply_; }
  Reply take_reply() { return std::move(reply_); }

  /// Takes over slot `index` of the engine's KV cache; what it holds is a prefix of the sequence, not all.
  void start(int32_t index, KvSlot& slot);

  /// Guesses of the tokens after the newest one, to be verified in the next step; what is beyond the context
  /// or kMaxDecodeRows - 1 is dropped. Only while decoding. The reply does not depend on them.
  void propose(std::span<const int32_t> drafts);

  // What the speculator wants to know and keep.
  int32_t slot() const { return slot_index_; }
  /// Of the last step: row of Scratch::hidden that gave the newest token.
  int64_t hidden_row() const { return hidden_row_; }
  struct Round {
    int drafted = 0, accepted = 0;
  };
  const Round& last_round() const { return round_; }  // of the last step that it decoded in
  void set_plain_ms(double ms) { reply_.usage.plain_token_ms = ms; }
  std::optional<DraftDepth> draft_depth;

  /// Rows that add_rows() would add: while prefilling at most `chunk_tokens`, more for one vision block.
  int64_t next_rows(int64_t chunk_tokens) const;
  /// Adds them to `plan`, with their logit rows: none but for a prompt's last chunk (1), while decoding one
  /// each. On an exception the plan is unusable.
  void add_rows(StepPlan& plan, int64_t chunk_tokens);
  /// After the step: commits the rows that stand, samples, appends tokens, and finishes where the reply ends.
  void take();
  /// Ends the reply where it stands. Nothing happens when it is finished already.
  void finish(FinishReason reason);

  /// What happened since the last call, in order.
  std::vector<Event> take_events() { return std::exchange(events_, {}); }
  bool has_events() const { return !events_.empty(); }
  /// Without a reader events are not kept.
  void keep_events(bool keep) { keep_events_ = keep; }

 private:
  using Clock = std::chrono::steady_clock;

  void commit(int64_t end);
  std::optional<int32_t> choose(Tensor logits, int32_t draft);  // < 0: none
  std::optional<FinishReason> append(int32_t id);
  void take(const std::vector<ReplyEvent>& events);
  void emit_text(std::string text);
  void emit(Event event);
  void warn();

  EngineImpl* engine_;
  Sequence* sequence_;
  GenerateOptions options_;
  int64_t reply_begin_;
  Reply reply_;
  Sampler sampler_;
  ReplyParser parser_;
  StopStrings stops_;
  std::shared_ptr<const ReplyRules> rules_;  // null: none
  ReplyRules::State place_;                  // behind the newest token
  ReplyRules::Allowed allowed_;              // reused
  std::vector<TokenLogprobs> logprobs_;      // of the answer, not yet in an event
  State state_ = State::kWaiting;
  Clock::time_point created_ = Clock::now(), phase_begin_ = created_;

  int32_t slot_index_ = -1;
  KvSlot* slot_ = nullptr;
  int64_t prefill_begin_ = 0;
  std::vector<int32_t> drafts_;
  // Of the step at hand.
  int64_t step_begin_ = 0, step_end_ = 0;  // positions, drafts included
  int64_t logit_row_ = 0;                  // its first one in the plan
  int64_t hidden_row_ = 0;
  Round round_;

  bool keep_events_ = true;
  std::vector<Event> events_;
};

}  // namespace tessera
