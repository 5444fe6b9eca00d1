#include "text/reply_parser.h"

#include <utility>

#include "text/call_parser.h"
#include "text/python_text.h"

namespace tessera {

namespace {
constexpr std::string_view kThoughtName = "thought\n";  // the one channel that the model has
}  // namespace

ReplyParser::Ids::Ids(const Tokenizer& tokenizer) {
  const auto id = [&](std::string_view token) { return tokenizer.find(token).value_or(-1); };
  channel_open = id("<|channel>"), channel_close = id("<channel|>");
  call_open = id("<|tool_call>"), call_close = id("<tool_call|>");
  quote = id("<|\"|>");
  turn_close = id("<turn|>"), response_open = id("<|tool_response>"), eos = id("<eos>");
}

ReplyParser::ReplyParser(const Tokenizer& tokenizer, bool starts_in_thought)
    : tokenizer_(tokenizer), ids_(tokenizer), state_(starts_in_thought ? State::kThought : State::kAnswer) {}

std::vector<ReplyEvent> ReplyParser::push(int32_t id) {
  events_.clear();
  if (id < 0 || id >= tokenizer_.vocab_size()) return {};
  if (!tokenizer_.is_control(id)) {
    take_text(stream_.push(tokenizer_.token_bytes(id)));
    return std::move(events_);
  }
  flush_bytes();
  if (id == ids_.quote) {
    // The delimiter of the tool syntax; outside of it, the quotation mark that it stands for.
    take_text(state_ == State::kCall ? std::string_view(&kQuoteMark, 1) : "\"");
  } else if (id == ids_.turn_close || id == ids_.response_open || id == ids_.eos) {
    end_turn();
  } else if (id == ids_.channel_open) {
    if (state_ != State::kCall) open_channel();
  } else if (id == ids_.channel_close) {
    close_channel_name();
    if (state_ == State::kThought) close_thought();
  } else if (id == ids_.call_open) {
    open_call();
  } else if (id == ids_.call_close && state_ == State::kCall) {
    close_call(true);
  }  // other control tokens are not for display
  return std::move(events_);
}

std::vector<ReplyEvent> ReplyParser::finish() {
  events_.clear();
  flush_bytes();
  close_channel_name();
  if (state_ == State::kCall) close_call(false);
  if (state_ == State::kThought) emit(ReplyEvent::Kind::kThought, std::exchange(held_thought_, {}));
  held_answer_.clear();
  return std::move(events_);
}

void ReplyParser::flush_bytes() {
  take_text(stream_.finish());
}

void ReplyParser::take_text(std::string_view text) {
  if (text.empty()) return;
  switch (state_) {
    case State::kCall:
      call_ += text;
      return;
    case State::kChannelName: {
      name_ += text;
      if (kThoughtName.starts_with(name_) && name_.size() < kThoughtName.size()) return;
      const std::string name = std::exchange(name_, {});
      const bool thought = name.starts_with(kThoughtName);
      state_ = thought ? State::kThought : outer_;  // not the name of a channel: text, its marker ignored
      take_text(std::string_view(name).substr(thought ? kThoughtName.size() : 0));
      return;
    }
    case State::kThought: {
      std::string all = std::exchange(held_thought_, {});
      all += text;
      if (all.ends_with('\n')) {
        held_thought_ = "\n";
        all.pop_back();
      }
      emit(ReplyEvent::Kind::kThought, all);
      return;
    }
    case State::kAnswer:
      if (after_call_ && python_strip(text).empty()) {
        held_answer_ += text;
        return;
      }
      after_call_ = false;
      emit(ReplyEvent::Kind::kText, std::exchange(held_answer_, {}));
      emit(ReplyEvent::Kind::kText, text);
      return;
  }
}

void ReplyParser::open_channel() {
  close_channel_name();
  outer_ = state_;
  state_ = State::kChannelName;
}

// A marker where a channel name was expected. "thought" without its line break is an empty channel.
void ReplyParser::close_channel_name() {
  if (state_ != State::kChannelName) return;
  const std::string name = std::exchange(name_, {});
  state_ = outer_;
  if (!(name + "\n" == kThoughtName)) take_text(name);
}

void ReplyParser::close_thought() {
  // The line break before <channel|> belongs to the format. It stays held: a further thought brings it back.
  state_ = State::kAnswer;
}

void ReplyParser::open_call() {
  close_channel_name();
  if (state_ == State::kCall) {
    close_call(true);
  }
  outer_ = state_;
  state_ = State::kCall;
}

void ReplyParser::close_call(bool may_lack_end) {
  ReplyEvent event;
  event.kind = ReplyEvent::Kind::kToolCall;
  event.call = parse_call(std::exchange(call_, {}), may_lack_end);
  events_.push_back(std::move(event));
  state_ = outer_;
  after_call_ = true;
  held_answer_.clear();
}

void ReplyParser::end_turn() {
  close_channel_name();
  if (state_ == State::kCall) close_call(true);
  if (state_ == State::kThought) emit(ReplyEvent::Kind::kThought, std::exchange(held_thought_, {}));
  held_answer_.clear();
  state_ = State::kAnswer;
}

void ReplyParser::emit(ReplyEvent::Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (!events_.empty() && events_.back().kind == kind && kind != ReplyEvent::Kind::kToolCall) {
    events_.back().text += text;
    return;
  }
  ReplyEvent event;
  event.kind = kind;
  event.text = text;
  events_.push_back(std::move(event));
}

std::string_view strip_json_fence(std::string_view text) {
  constexpr std::string_view kFence = "```";
  const std::string_view trimmed = python_strip(text);
  if (!trimmed.starts_with(kFence)) return trimmed;
  const size_t line_end = trimmed.find('\n');
  if (line_end == std::string_view::npos) return trimmed;
  const std::string_view language = python_strip(trimmed.substr(kFence.size(), line_end - kFence.size()));
  if (!language.empty() && ascii_upper(language) != "JSON") return trimmed;
  std::string_view inside = python_strip(trimmed.substr(line_end + 1));
  if (inside.ends_with(kFence)) inside = python_strip(inside.substr(0, inside.size() - kFence.size()));
  return inside.find(kFence) == std::string_view::npos ? inside : trimmed;
}

}  // namespace tessera
