#pragma once
// The vocabulary as a trie of bytes: an automaton over bytes finds all tokens that it can take in one walk.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tessera {

/// Immutable once made; any thread may use it. About 10 MB for the published vocabulary.
class TokenTrie {
 public:
  struct Node {
    uint8_t byte = 0;        // on the edge from its parent
    uint16_t depth = 0;      // 0: the root
    int32_t end = 0;         // the first node behind its subtree: nodes are in preorder
    int32_t tokens = 0;      // where its tokens begin in tokens()
    int32_t tokens_end = 0;  // a byte token and a character may share a node
  };

  /// Control tokens and tokens with bytes that UTF-8 never has are left out, but for <|"|>, which stands
  /// for kQuoteMark (text/call_parser.h).
  explicit TokenTrie(const Tokenizer& tokenizer);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  /// "" for a token that is not in the trie.
  std::string_view bytes(int32_t id) const;
  int32_t vocab_size() const { return static_cast<int32_t>(begin_.size()) - 1; }
  int max_token_bytes() const { return max_token_bytes_; }

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
  std::string bytes_;            // of all tokens, by id
  std::vector<uint32_t> begin_;  // [vocab + 1]
  int max_token_bytes_ = 0;
};

}  // namespace tessera
