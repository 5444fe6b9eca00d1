#pragma once
// Which tokens a grammar's state can take: one walk over the vocabulary's trie, exact to the byte.
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "text/grammar.h"
#include "text/token_trie.h"

namespace tessera {

/// Not thread-safe. Both must outlive it.
class TokenMasks {
 public:
  TokenMasks(Grammar& grammar, const TokenTrie& trie) : grammar_(grammar), trie_(trie) {}

  /// Sets the bit of every token whose bytes leave `state` with a text to its end. `bits`: [(vocab + 63) /
  /// 64].
  void add(Grammar::State state, std::span<uint64_t> bits);
  /// The state behind a token; kNothing for one that add() does not set.
  Grammar::State advance(Grammar::State state, int32_t token);

 private:
  using State = Grammar::State;
  // What can be said of a piece whatever follows it: a string's inside has most of the vocabulary, and is the
  // same in every place. `exits`: nodes where the piece may be over, and what follows goes on.
  struct Piece {
    std::vector<uint64_t> bits;
    std::vector<int32_t> exits;
  };
  std::shared_ptr<const Piece> piece(State head);
  int64_t walk(int32_t from, State state, std::span<uint64_t> bits, std::vector<int32_t>* exits);

  Grammar& grammar_;
  const TokenTrie& trie_;
  std::unordered_map<State, std::shared_ptr<const Piece>> pieces_;  // that cost many nodes to walk
  std::vector<State> path_;
};

}  // namespace tessera
