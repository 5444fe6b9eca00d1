#include "text/token_masks.h"

namespace tessera {

namespace {
constexpr int64_t kWorthKeeping = 4096;  // trie nodes walked; a piece kept takes 33 KB
constexpr size_t kMaxPieces = 256;
}  // namespace

// The subtree of `from`, itself not included, `state` being the one behind it. Returns the nodes looked at.
int64_t TokenMasks::walk(int32_t from, State state, std::span<uint64_t> bits, std::vector<int32_t>* exits) {
  const std::vector<TokenTrie::Node>& nodes = trie_.nodes();
  const TokenTrie::Node& top = nodes[static_cast<size_t>(from)];
  if (path_.size() <= static_cast<size_t>(trie_.max_token_bytes()))
    path_.resize(static_cast<size_t>(trie_.max_token_bytes()) + 1);
  path_[top.depth] = state;
  int64_t looked_at = 0;
  for (int32_t i = from + 1; i < top.end; ++looked_at) {
    const TokenTrie::Node& n = nodes[static_cast<size_t>(i)];
    const State next = grammar_.advance(path_[n.depth - 1], n.byte);
    if (next == Grammar::kNothing) {
      i = n.end;
      continue;
    }
    path_[n.depth] = next;
    for (int32_t t = n.tokens; t < n.tokens_end; ++t) {
      const auto id = static_cast<uint32_t>(trie_.tokens()[static_cast<size_t>(t)]);
      bits[id / 64] |= uint64_t{1} << (id % 64);
    }
    if (exits != nullptr && grammar_.accepts(next)) exits->push_back(i);
    ++i;
  }
  return looked_at;
}

std::shared_ptr<const TokenMasks::Piece> TokenMasks::piece(State head) {
  head = grammar_.clamped(head);
  if (const auto found = pieces_.find(head); found != pieces_.end()) return found->second;
  auto made = std::make_shared<Piece>();
  made->bits.assign((static_cast<size_t>(trie_.vocab_size()) + 63) / 64, 0);
  if (grammar_.accepts(head)) made->exits.push_back(0);
  if (walk(0, head, made->bits, &made->exits) >= kWorthKeeping) {
    if (pieces_.size() == kMaxPieces) pieces_.clear();
    pieces_[head] = made;
  }
  return made;
}

void TokenMasks::add(State state, std::span<uint64_t> bits) {
  using Kind = Grammar::Kind;
  for (; grammar_.kind(state) == Kind::kEither; state = grammar_.right(state))
    add(grammar_.left(state), bits);
  const bool more = grammar_.kind(state) == Kind::kConcat;
  const State head = more ? grammar_.left(state) : state;
  if (grammar_.kind(head) != Kind::kUnit) {
    walk(0, state, bits, nullptr);
    return;
  }
  const std::shared_ptr<const Piece> found = piece(head);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] |= found->bits[i];
  if (more)
    for (const int32_t node : found->exits) walk(node, grammar_.right(state), bits, nullptr);
}

Grammar::State TokenMasks::advance(State state, int32_t token) {
  const std::string_view bytes = trie_.bytes(token);
  return bytes.empty() ? Grammar::kNothing : grammar_.advance(state, bytes);
}

}  // namespace tessera
