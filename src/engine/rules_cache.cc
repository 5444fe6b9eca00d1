#include "engine/rules_cache.h"

#include <algorithm>

namespace tessera {

namespace {

constexpr size_t kEntries = 8;
constexpr int64_t kMaxStates = 300'000;  // about 30 MB: rules that have grown beyond are made anew

// Fields with their lengths before them, so that no two formats give the same key.
std::string key_of(const ReplyFormat& f, int budget) {
  std::string key = std::to_string(budget) + ' ' + std::to_string(static_cast<int>(f.tool_choice)) +
                    (f.json_object ? "j" : "-") + (f.parallel_tool_calls ? "p" : "-");
  const auto add = [&](const std::string& text) {
    key.append(std::to_string(text.size())).append(" ").append(text);
  };
  add(f.json_schema);
  add(f.tool_name);
  for (const ToolDeclaration& tool : f.tools) {
    add(tool.name);
    add(tool.parameters_json);
  }
  return key;
}

}  // namespace

std::shared_ptr<const ReplyRules> RulesCache::get(const ReplyFormat& format, int budget) {
  if (!ReplyRules::needed(format, budget)) return nullptr;
  std::string key = key_of(format, budget);
  std::shared_ptr<const TokenTrie> trie;
  {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
    if (found != entries_.end() && found->rules->states() <= kMaxStates) {
      entries_.splice(entries_.begin(), entries_, found);
      return entries_.front().rules;
    }
    if (found != entries_.end()) entries_.erase(found);
    if (!trie_) trie_ = std::make_shared<const TokenTrie>(tokenizer_);
    trie = trie_;
  }
  // Not under the lock: a big schema holds up its own request only.
  auto rules = std::make_shared<const ReplyRules>(format, budget, tokenizer_, std::move(trie), end_tokens_);
  const std::lock_guard lock(mutex_);
  entries_.push_front({std::move(key), rules});
  if (entries_.size() > kEntries) entries_.pop_back();
  return rules;
}

}  // namespace tessera
