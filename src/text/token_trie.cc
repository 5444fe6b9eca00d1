#include "text/token_trie.h"

#include <algorithm>

#include "text/call_parser.h"

namespace tessera {

namespace {

// 0xC0, 0xC1 and 0xF5 … 0xFF are in no UTF-8 text.
bool may_be_in_text(std::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(), [](char c) {
    const auto b = static_cast<uint8_t>(c);
    return b == 0xC0 || b == 0xC1 || b >= 0xF5;
  });
}

size_t common_prefix(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer) {
  const int32_t vocab = tokenizer.vocab_size();
  const int32_t quote = tokenizer.find("<|\"|>").value_or(-1);
  begin_.assign(1, 0);
  for (int32_t id = 0; id < vocab; ++id) {
    const std::string_view text = tokenizer.token_bytes(id);
    if (id == quote) {
      bytes_ += kQuoteMark;
    } else if (!tokenizer.is_control(id) && text.size() <= 1024 && may_be_in_text(text)) {
      bytes_ += text;
    }
    begin_.push_back(static_cast<uint32_t>(bytes_.size()));
    if (!bytes(id).empty()) tokens_.push_back(id);
  }
  std::sort(tokens_.begin(), tokens_.end(), [&](int32_t a, int32_t b) {
    const int order = bytes(a).compare(bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  nodes_.emplace_back();
  std::vector<int32_t> path = {0};  // nodes of the last token's prefixes
  std::string_view last;
  for (int32_t i = 0; i < static_cast<int32_t>(tokens_.size()); ++i) {
    const std::string_view text = bytes(tokens_[static_cast<size_t>(i)]);
    const size_t shared = common_prefix(last, text);
    for (; path.size() > shared + 1; path.pop_back())
      nodes_[static_cast<size_t>(path.back())].end = static_cast<int32_t>(nodes_.size());
    for (size_t k = shared; k < text.size(); ++k) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({static_cast<uint8_t>(text[k]), static_cast<uint16_t>(k + 1), 0, i, i});
    }
    nodes_[static_cast<size_t>(path.back())].tokens_end = i + 1;
    max_token_bytes_ = std::max(max_token_bytes_, static_cast<int>(text.size()));
    last = text;
  }
  for (const int32_t node : path) nodes_[static_cast<size_t>(node)].end = static_cast<int32_t>(nodes_.size());
}

std::string_view TokenTrie::bytes(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  const size_t begin = begin_[static_cast<size_t>(id)];
  return {bytes_.data() + begin, begin_[static_cast<size_t>(id) + 1] - begin};
}

}  // namespace tessera
