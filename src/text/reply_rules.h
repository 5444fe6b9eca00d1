#pragma once
// What a reply may be, token by token: thought, answer and calls, as ReplyFormat and a budget for the thought
// state it.
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tessera/tessera.h"
#include "text/grammar.h"
#include "text/reply_parser.h"
#include "text/token_masks.h"

namespace tessera {

/// Made from options once, then shared; any thread may use it (a lock: states are made as they are reached).
class ReplyRules {
 public:
  /// A place in a reply. A value: a state may be copied, kept and advanced several ways.
  struct State {
    enum class Mode : uint8_t { kStart, kThoughtName, kThought, kAnswer, kText, kCall, kAfterCall, kDone };
    Mode mode = Mode::kStart;
    bool may_think = false;      // kStart: a thought channel may open
    Grammar::State text = 0;     // kThoughtName, kAnswer, kCall: in the grammar
    int32_t thought_tokens = 0;  // in all of the reply's thoughts
    bool operator==(const State&) const = default;
  };
  /// What may come next: every token that `only` has (when `restricted`) and `banned` does not have.
  struct Allowed {
    bool restricted = false;
    std::vector<uint64_t> only;  // [(vocab + 63) / 64] bits
    std::vector<int32_t> banned;
  };

  /// Throws Error(kBadRequest | kTooLarge) for a schema that cannot be used, tools that contradict
  /// tool_choice, names that are not names. `end_tokens`: they end the reply. Keeps references to `tokenizer`
  /// and `trie`.
  ReplyRules(const ReplyFormat& format, int reasoning_budget_tokens, const Tokenizer& tokenizer,
             std::shared_ptr<const TokenTrie> trie, std::vector<int32_t> end_tokens);

  /// Whether options ask for any rules.
  static bool needed(const ReplyFormat& format, int reasoning_budget_tokens);

  /// The state at the end of a prompt. A thought may come first when the prompt left it open or ends in a
  /// header of the model's turn (docs/spec/tokenizer.md §5.2).
  State start(std::span<const int32_t> prompt, bool in_thought) const;
  /// Behind a token. One that was not allowed gives kDone, where everything is allowed.
  State advance(const State& state, int32_t token) const;
  void allowed(const State& state, Allowed& out) const;
  /// The reply has all that was asked for and may end here.
  bool complete(const State& state) const;
  /// Nothing but an end token may follow.
  bool finished(const State& state) const;
  /// How much has been made so far, for a limit on memory.
  int64_t states() const;

 private:
  bool strict() const { return answer_ != Grammar::kNothing || must_call_; }
  bool is_end(int32_t id) const;
  bool accepts(Grammar::State text) const;
  State behind_thought(State state) const;

  const Tokenizer& tokenizer_;
  std::shared_ptr<const TokenTrie> trie_;
  ReplyParser::Ids ids_;
  std::vector<int32_t> end_tokens_, header_;  // header_: ids of "<|turn>model\n"
  int32_t budget_;
  bool forbids_calls_ = false, must_call_ = false, constrains_calls_ = false, parallel_ = true;
  Grammar::State answer_ = Grammar::kNothing, calls_ = Grammar::kNothing, thought_name_ = Grammar::kNothing;
  mutable std::mutex mutex_;
  mutable Grammar grammar_;
  mutable TokenMasks masks_;
};

}  // namespace tessera
