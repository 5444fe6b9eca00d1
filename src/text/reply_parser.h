#pragma once
// What a model generates, token by token → thought, text and tool calls. On ids, not on text, so that text
// which imitates a marker is not taken for one.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tessera.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace tessera {

struct ReplyEvent {
  enum class Kind { kThought, kText, kToolCall };
  Kind kind = Kind::kText;
  std::string text;  // kThought, kText: whole UTF-8 characters, without markers
  ToolCall call;     // kToolCall
};

/// One reply. Keeps a reference to the tokenizer. The concatenated text of each kind does not depend on how
/// the model cut it into tokens. Never throws on input; ids outside the vocabulary are skipped.
class ReplyParser {
 public:
  struct Ids {
    explicit Ids(const Tokenizer& tokenizer);
    int32_t channel_open, channel_close, call_open, call_close, quote;  // -1: the tokenizer has no such token
    int32_t turn_close, response_open, eos;                             // what ends a turn
  };

  /// `starts_in_thought`: the prompt ends in an open thought channel (opens_thought).
  ReplyParser(const Tokenizer& tokenizer, bool starts_in_thought);

  /// What has become certain with this token. End tokens close what is open; a call that they cut is read
  /// without its closing brace.
  std::vector<ReplyEvent> push(int32_t id);
  /// The rest, when generation ends for another reason (length, cancelled): an unfinished call comes with
  /// parsed = false unless all of it was there.
  std::vector<ReplyEvent> finish();
  /// Text that comes now is the answer's.
  bool in_answer() const { return state_ == State::kAnswer; }

 private:
  enum class State { kAnswer, kThought, kChannelName, kCall };

  void take_text(std::string_view text);
  void flush_bytes();
  void open_channel();
  void close_channel_name();
  void close_thought();
  void open_call();
  void close_call(bool may_lack_end);
  void end_turn();
  void emit(ReplyEvent::Kind kind, std::string_view text);

  const Tokenizer& tokenizer_;
  Ids ids_;
  State state_;
  State outer_ = State::kAnswer;  // where a channel name that is none, or a call, returns to
  Utf8Stream stream_;
  std::string name_;          // kChannelName: what was read so far
  std::string call_;          // kCall: the body, with kQuoteMark for <|"|>
  std::string held_answer_;   // blanks after a call: dropped unless text follows
  std::string held_thought_;  // a line break that may be the one before <channel|>
  bool after_call_ = false;
  std::vector<ReplyEvent> events_;
};

/// Takes the ```json fence off a reply that is one fenced block; other text comes back trimmed. The closing
/// fence may be missing.
std::string_view strip_json_fence(std::string_view text);

}  // namespace tessera
