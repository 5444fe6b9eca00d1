#include "text/reply_rules.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "text/json_schema.h"
#include "text/value_text.h"

namespace tessera {

namespace {

using Mode = ReplyRules::State::Mode;

// "call:" and one way to go on for each tool.
Grammar::State calls_of(Grammar& g, const ReplyFormat& format) {
  if (format.tools.size() > 1024)
    throw_error(ErrorKind::kTooLarge, "tools: {} tools, at most 1024", format.tools.size());
  std::set<std::string_view> names;
  std::vector<Grammar::State> ways;
  for (size_t i = 0; i < format.tools.size(); ++i) {
    const ToolDeclaration& tool = format.tools[i];
    if (!is_bare_key(tool.name) || tool.name.size() > 128)
      throw_error(ErrorKind::kBadRequest, "tools[{}].name: expected 1 to 128 letters, digits, _ . -", i);
    if (!names.insert(tool.name).second)
      throw_error(ErrorKind::kBadRequest, "tools[{}].name: two tools are called {}", i, tool.name);
    if (!format.tool_name.empty() && format.tool_name != tool.name) continue;
    const std::string name = fmt::format("tools[{}].parameters", i);
    const Json schema = tool.parameters_json.empty()
                            ? Json{{"type", "object"}}
                            : parse_json(tool.parameters_json, ErrorKind::kBadRequest, name);
    ways.push_back(g.concat(g.literal(tool.name), object_text(g, schema, StringSyntax::kCall, name)));
  }
  if (ways.empty())
    throw_error(ErrorKind::kBadRequest, "tool_choice names the tool {}, which is not among the {} tools",
                format.tool_name, format.tools.size());
  return g.concat(g.literal("call:"), g.either(std::move(ways)));
}

}  // namespace

bool ReplyRules::needed(const ReplyFormat& f, int reasoning_budget_tokens) {
  return f.json_object || !f.json_schema.empty() || !f.tools.empty() || f.tool_choice != ToolChoice::kAuto ||
         reasoning_budget_tokens >= 0;
}

ReplyRules::ReplyRules(const ReplyFormat& f, int reasoning_budget_tokens, const Tokenizer& tokenizer,
                       std::shared_ptr<const TokenTrie> trie, std::vector<int32_t> end_tokens)
    : tokenizer_(tokenizer),
      trie_(std::move(trie)),
      ids_(tokenizer),
      end_tokens_(std::move(end_tokens)),
      budget_(reasoning_budget_tokens),
      parallel_(f.parallel_tool_calls),
      grammar_(trie_->max_token_bytes()),
      masks_(grammar_, *trie_) {
  if (budget_ < -1)
    throw_error(ErrorKind::kBadRequest, "reasoning_budget_tokens is {}, expected -1 (no limit) or more",
                budget_);
  if (f.json_object && !f.json_schema.empty())
    throw_error(ErrorKind::kBadRequest, "json_object and json_schema are both given, expected one of them");
  if (f.tool_choice == ToolChoice::kRequired && f.tools.empty())
    throw_error(ErrorKind::kBadRequest, "tool_choice asks for a call, but there are no tools");
  if (!f.tool_name.empty() && f.tool_choice != ToolChoice::kRequired)
    throw_error(ErrorKind::kBadRequest, "tool_name is {}, which only tool_choice required can have",
                f.tool_name);
  if (const auto turn = tokenizer.find("<|turn>")) {
    header_ = tokenizer.encode("model\n");
    header_.insert(header_.begin(), *turn);
  }
  thought_name_ = grammar_.literal("thought\n");
  forbids_calls_ = f.tool_choice == ToolChoice::kNone;
  must_call_ = f.tool_choice == ToolChoice::kRequired;
  if (!f.tools.empty() && !forbids_calls_) {
    if (ids_.call_open < 0 || ids_.call_close < 0 || ids_.quote < 0)
      throw_error(ErrorKind::kBadRequest,
                  "tools are given, but the model's vocabulary has no tokens for calls");
    calls_ = calls_of(grammar_, f);
    constrains_calls_ = true;
  }
  if (must_call_) return;  // the answer is calls
  if (f.json_object)
    answer_ = object_text(grammar_, Json{{"type", "object"}}, StringSyntax::kJson, "json_object");
  else if (!f.json_schema.empty())
    answer_ = schema_text(grammar_, parse_json(f.json_schema, ErrorKind::kBadRequest, "json_schema"),
                          StringSyntax::kJson, "json_schema");
}

bool ReplyRules::accepts(Grammar::State text) const {
  const std::lock_guard lock(mutex_);
  return grammar_.accepts(text);
}

int64_t ReplyRules::states() const {
  const std::lock_guard lock(mutex_);
  return grammar_.states();
}

bool ReplyRules::is_end(int32_t id) const {
  return std::find(end_tokens_.begin(), end_tokens_.end(), id) != end_tokens_.end();
}

ReplyRules::State ReplyRules::start(std::span<const int32_t> prompt, bool in_thought) const {
  State s;
  if (in_thought) {
    s.mode = Mode::kThought;
  } else {
    s.may_think =
        ids_.channel_open >= 0 && !header_.empty() && prompt.size() >= header_.size() &&
        std::equal(header_.begin(), header_.end(), prompt.end() - static_cast<ptrdiff_t>(header_.size()));
    s.text = answer_;
  }
  return s;
}

ReplyRules::State ReplyRules::behind_thought(State s) const {
  s.mode = Mode::kStart;
  s.may_think = false;
  s.text = answer_;
  return s;
}

ReplyRules::State ReplyRules::advance(const State& from, int32_t token) const {
  State s = from;
  const std::lock_guard lock(mutex_);
  const auto along = [&](Mode mode) {
    s.text = masks_.advance(s.text, token);
    s.mode = s.text == Grammar::kNothing ? Mode::kDone : mode;
  };
  if (is_end(token) && token != ids_.call_close) {
    s.mode = Mode::kDone;
    return s;
  }
  switch (from.mode) {
    case Mode::kStart:
    case Mode::kText:
      if (token == ids_.channel_open) {
        s.mode = Mode::kThoughtName;
        s.text = thought_name_;
      } else if (token == ids_.call_open && constrains_calls_) {
        s.mode = Mode::kCall;
        s.text = calls_;
      } else if (from.mode == Mode::kStart && answer_ != Grammar::kNothing) {
        along(Mode::kAnswer);
      } else {
        s.mode = must_call_ ? Mode::kDone : Mode::kText;
      }
      break;
    case Mode::kThoughtName:
      if (token == ids_.channel_close) return behind_thought(s);
      along(Mode::kThoughtName);
      if (s.text == Grammar::kEnd) s.mode = Mode::kThought;
      if (s.text == Grammar::kNothing && !strict()) s.mode = Mode::kText;  // no channel after all
      break;
    case Mode::kThought:
      if (token == ids_.channel_close) return behind_thought(s);
      ++s.thought_tokens;
      break;
    case Mode::kAnswer:
      along(Mode::kAnswer);
      break;
    case Mode::kCall:
      if (token == ids_.call_close && grammar_.accepts(s.text))
        s.mode = Mode::kAfterCall;
      else
        along(Mode::kCall);
      break;
    case Mode::kAfterCall:
      s.mode = token == ids_.call_open && parallel_ ? Mode::kCall : Mode::kDone;
      s.text = calls_;
      break;
    case Mode::kDone:
      break;
  }
  return s;
}

void ReplyRules::allowed(const State& s, Allowed& out) const {
  out.banned.clear();
  out.restricted = false;
  const auto allow = [&](int32_t id) {
    if (id >= 0) out.only[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
  };
  const auto restrict_to = [&](Grammar::State text) {
    out.restricted = true;
    out.only.assign((static_cast<size_t>(tokenizer_.vocab_size()) + 63) / 64, 0);
    if (text == Grammar::kNothing) return;
    const std::lock_guard lock(mutex_);
    masks_.add(text, out.only);
  };
  const auto allow_ends = [&] { std::for_each(end_tokens_.begin(), end_tokens_.end(), allow); };
  const auto ban = [&](int32_t id) {
    if (id >= 0) out.banned.push_back(id);
  };
  switch (s.mode) {
    case Mode::kStart:
      if (!strict()) break;
      restrict_to(answer_);
      if (s.may_think) allow(ids_.channel_open);
      if (constrains_calls_) allow(ids_.call_open);
      return;
    case Mode::kThoughtName:
      if (strict()) restrict_to(s.text);
      break;
    case Mode::kThought:
      if (budget_ >= 0 && s.thought_tokens >= budget_ && ids_.channel_close >= 0) {
        restrict_to(Grammar::kNothing);
        allow(ids_.channel_close);
        return;
      }
      if (strict() || constrains_calls_) ban(ids_.call_open);
      if (strict()) {
        ban(ids_.channel_open);
        std::for_each(end_tokens_.begin(), end_tokens_.end(), ban);
      }
      break;
    case Mode::kAnswer:
      restrict_to(s.text);
      if (accepts(s.text)) allow_ends();
      return;
    case Mode::kCall:
      restrict_to(s.text);
      if (accepts(s.text)) allow(ids_.call_close);
      return;
    case Mode::kAfterCall:
      restrict_to(Grammar::kNothing);
      allow_ends();
      if (parallel_) allow(ids_.call_open);
      return;
    case Mode::kText:
    case Mode::kDone:
      break;
  }
  if (forbids_calls_) ban(ids_.call_open);
}

bool ReplyRules::complete(const State& s) const {
  switch (s.mode) {
    case Mode::kStart:
      return !strict();
    case Mode::kAnswer:
      return accepts(s.text);
    case Mode::kText:
    case Mode::kAfterCall:
    case Mode::kDone:
      return true;
    default:
      return false;
  }
}

bool ReplyRules::finished(const State& s) const {
  return (s.mode == Mode::kAnswer && s.text == Grammar::kEnd) || (s.mode == Mode::kAfterCall && !parallel_);
}

}  // namespace tessera
