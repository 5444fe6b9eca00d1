#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace tessera {

// One encode() call: symbols of the stretch being collected, and what the merges need.
struct Tokenizer::Encoder {
  const Tokenizer& tokenizer;
  std::vector<int32_t>& out;
  std::vector<int32_t> symbols;
  Merges::Scratch scratch;
  bool unk_open = false;  // the last symbol is <unk> and takes in further unknown characters

  void flush() {
    tokenizer.merges_.apply(symbols, scratch);
    out.insert(out.end(), symbols.begin(), symbols.end());
    symbols.clear();
  }
  void add(int32_t id) {
    if (!symbols.empty() && !tokenizer.may_merge(symbols.back(), id)) flush();
    symbols.push_back(id);
    unk_open = false;
  }
  void add_unknown(std::string_view bytes) {
    const auto has_symbol = [&](char c) {
      return tokenizer.byte_symbols_[static_cast<uint8_t>(c)] != Vocabulary::kNone;
    };
    if (std::all_of(bytes.begin(), bytes.end(), has_symbol)) {
      for (const char c : bytes) add(tokenizer.byte_symbols_[static_cast<uint8_t>(c)]);
      return;
    }
    if (tokenizer.unk_ == Vocabulary::kNone || (unk_open && tokenizer.fuse_unk_)) return;
    add(tokenizer.unk_);
    unk_open = true;
  }
  /// A stretch without added tokens.
  void add_text(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = read_utf8(text, at);
      const bool whole = c.bytes > 0 && !c.incomplete;
      const size_t bytes = whole ? static_cast<size_t>(c.bytes) : 1;
      const int32_t id = !whole ? Vocabulary::kNone : tokenizer.symbol(c.code == U' ' ? U'\u2581' : c.code);
      if (id != Vocabulary::kNone) {
        add(id);
      } else if (c.code == U' ' && whole) {
        add_unknown("\u2581");
      } else {
        add_unknown(text.substr(at, bytes));
      }
      at += bytes;
    }
    flush();
    unk_open = false;
  }
};

std::vector<int32_t> Tokenizer::encode(std::string_view utf8) const {
  if (utf8.size() >= size_t{1} << 31) {
    throw_error(ErrorKind::kTooLarge, "text of {} bytes, at most {} can be tokenized at once; split it",
                utf8.size(), (size_t{1} << 31) - 1);
  }
  std::vector<int32_t> ids;
  Encoder encoder{*this, ids, {}, {}};
  size_t begin = 0;
  for (size_t at = 0; at < utf8.size();) {
    int32_t id = Vocabulary::kNone;
    const std::string_view token = match_added(utf8.substr(at), id);
    if (token.empty()) {
      ++at;
      continue;
    }
    encoder.add_text(utf8.substr(begin, at - begin));
    ids.push_back(id);
    at += token.size();
    begin = at;
  }
  encoder.add_text(utf8.substr(begin));
  return ids;
}

// The longest added token that `text` starts with; empty when none does. Narrows a range of the sorted list
// byte by byte: at most kMaxAddedTokenBytes steps, so hostile text ("<<<<…") stays linear.
std::string_view Tokenizer::match_added(std::string_view text, int32_t& id) const {
  if (!added_lead_[static_cast<uint8_t>(text.front())]) return {};
  std::string_view longest;
  auto low = added_.begin(), high = added_.end();
  for (size_t depth = 0; depth < text.size() && low != high; ++depth) {
    const auto byte_at = [&](int32_t token) {  // -1: the token ends before `depth`
      const std::string_view s = vocabulary_.text(token);
      return depth < s.size() ? static_cast<int>(static_cast<uint8_t>(s[depth])) : -1;
    };
    const int byte = static_cast<uint8_t>(text[depth]);
    low = std::partition_point(low, high, [&](int32_t token) { return byte_at(token) < byte; });
    high = std::partition_point(low, high, [&](int32_t token) { return byte_at(token) <= byte; });
    if (low != high && vocabulary_.text(*low).size() == depth + 1) {  // the shortest sorts first
      longest = vocabulary_.text(*low);
      id = *low;
    }
  }
  return longest;
}

int32_t Tokenizer::symbol(char32_t code) const {
  if (code < bmp_symbols_.size()) return bmp_symbols_[code];
  std::string text;
  append_utf8(text, code);
  return vocabulary_.find(text);
}

size_t Tokenizer::bridge_bit(int32_t left_symbol, int32_t right_symbol) const {
  const uint64_t key =
      (static_cast<uint64_t>(static_cast<uint32_t>(left_symbol)) << 32) | static_cast<uint32_t>(right_symbol);
  return static_cast<size_t>(((key ^ (key >> 29)) * 0x9E3779B97F4A7C15U) >> 40) & (bridges_.size() * 64 - 1);
}

bool Tokenizer::may_merge(int32_t left_symbol, int32_t right_symbol) const {
  if (bridges_.empty()) return true;
  const size_t bit = bridge_bit(left_symbol, right_symbol);
  return ((bridges_[bit / 64] >> (bit % 64)) & 1U) != 0;
}

void Tokenizer::check_id(int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    throw_error(ErrorKind::kBadRequest, "token id {} is not in the vocabulary, ids are 0 to {}", id,
                vocab_size() - 1);
  }
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  check_id(id);
  const auto i = static_cast<size_t>(id);
  return std::string_view(bytes_).substr(bytes_begin_[i], bytes_begin_[i + 1] - bytes_begin_[i]);
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size();) {
    check_id(ids[i]);
    if (kinds_[static_cast<size_t>(ids[i])] != Kind::kByte) {
      text += token_bytes(ids[i++]);
      continue;
    }
    std::string run;
    for (; i < ids.size(); ++i) {
      check_id(ids[i]);
      if (kinds_[static_cast<size_t>(ids[i])] != Kind::kByte) break;
      run += token_bytes(ids[i]);
    }
    if (is_utf8(run)) {
      text += run;
    } else {
      for (size_t k = 0; k < run.size(); ++k) text += kReplacement;
    }
  }
  return text;
}

std::optional<int32_t> Tokenizer::find(std::string_view token) const {
  const int32_t id = vocabulary_.find(token);
  if (id == Vocabulary::kNone) return std::nullopt;
  return id;
}

bool Tokenizer::is_control(int32_t id) const {
  return id >= 0 && id < vocab_size() && kinds_[static_cast<size_t>(id)] == Kind::kControl;
}

}  // namespace tessera
