#pragma once
// Rules of replies, kept for the next request with the same schema and tools: their masks are warm then.
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "text/reply_rules.h"

namespace tessera {

/// Any thread. The first get() builds the vocabulary's trie (some 0.2 s, 12 MB for the published one).
class RulesCache {
 public:
  /// Both must outlive what get() gives.
  RulesCache(const Tokenizer& tokenizer, const std::vector<int32_t>& end_tokens)
      : tokenizer_(tokenizer), end_tokens_(end_tokens) {}

  /// Null when the options ask for no rules. Throws as ReplyRules does.
  std::shared_ptr<const ReplyRules> get(const ReplyFormat& format, int reasoning_budget_tokens);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const ReplyRules> rules;
  };
  const Tokenizer& tokenizer_;
  const std::vector<int32_t>& end_tokens_;
  std::mutex mutex_;
  std::shared_ptr<const TokenTrie> trie_;
  std::list<Entry> entries_;  // last used first
};

}  // namespace tessera
