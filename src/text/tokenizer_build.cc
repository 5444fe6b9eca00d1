// The parts of a tokenizer.json, or of another container, checked against each other and indexed.
#include <algorithm>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace tessera {

namespace {

constexpr size_t kBridgeBits = size_t{1} << 22;  // 512 KiB; the published merges set 4% of them

// The value of "<0xHH>", in either case as the reference's decoder takes it; -1 for other strings.
int byte_value(std::string_view token) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  const int high = digit(token[3]), low = digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// The first and last character of a vocabulary string (which is UTF-8: the JSON reader checked).
std::string_view first_char(std::string_view text) {
  return text.substr(0, static_cast<size_t>(read_utf8(text, 0).bytes));
}
std::string_view last_char(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0U) == 0x80U) --at;
  return text.substr(at);
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view json, const std::string& name) {
  return build(read_tokenizer_file(json, name), name);
}

Tokenizer Tokenizer::from_parts(const TokenizerParts& parts, const std::string& name) {
  return build(read_tokenizer_parts(parts, name), name);
}

Tokenizer Tokenizer::build(TokenizerFile file, const std::string& name) {
  Tokenizer tokenizer;
  tokenizer.build_vocabulary(file, name);
  tokenizer.build_symbols(file, name);
  tokenizer.build_merges(file, name);
  tokenizer.build_token_bytes();
  return tokenizer;
}

void Tokenizer::build_vocabulary(TokenizerFile& file, const std::string& name) {
  const auto bad = [&](const auto& token, const std::string& why) {
    throw_error(ErrorKind::kBadModel, "{}: token \"{}\" with id {}: {}", name,
                std::string_view(file.arena).substr(token.begin, token.length), token.id, why);
  };
  // An added token is listed in the vocabulary, too, or comes after it.
  const auto base = static_cast<int64_t>(file.vocabulary.size());
  const int64_t outside =
      std::count_if(file.added.begin(), file.added.end(), [&](const auto& a) { return a.token.id >= base; });
  const int64_t tokens = base + outside;
  const auto check_range = [&](const TokenizerFile::Token& token) {
    if (token.id < 0 || token.id >= tokens) {
      bad(token,
          "ids must be 0 to " + std::to_string(tokens - 1) + " for " + std::to_string(tokens) + " tokens");
    }
  };
  vocabulary_ = Vocabulary(file.arena, tokens);
  const auto add = [&](const TokenizerFile::Token& token) {
    check_range(token);
    switch (vocabulary_.add(static_cast<int32_t>(token.id), token.begin, token.length)) {
      case Vocabulary::Added::kIdTaken:
        bad(token, "another token has this id");
        break;
      case Vocabulary::Added::kTextTaken:
        bad(token, "this token is there twice");
        break;
      case Vocabulary::Added::kYes:
        break;
    }
  };
  for (const auto& token : file.vocabulary) {
    if (token.length == 0) bad(token, "empty token");
    add(token);
  }
  kinds_.assign(static_cast<size_t>(tokens), Kind::kText);
  for (int32_t id = 0; id < vocab_size(); ++id) {
    if (vocabulary_.has(id) && byte_value(vocabulary_.text(id)) >= 0)
      kinds_[static_cast<size_t>(id)] = Kind::kByte;
  }
  for (const auto& [token, special] : file.added) {
    check_range(token);
    const auto id = static_cast<int32_t>(token.id);
    const std::string_view text = std::string_view(file.arena).substr(token.begin, token.length);
    if (!vocabulary_.has(id)) {
      add(token);
    } else if (vocabulary_.text(id) != text) {
      bad(token, "the vocabulary has \"" + std::string(vocabulary_.text(id)) + "\" there");
    }
    if (special) kinds_[static_cast<size_t>(id)] = Kind::kControl;
    added_.push_back(id);
    added_lead_[static_cast<uint8_t>(text.front())] = true;
  }
  if (const int32_t gap = vocabulary_.first_gap(); gap != Vocabulary::kNone) {
    throw_error(ErrorKind::kBadModel, "{}: no token has id {}; ids must be 0 to {} without gaps", name, gap,
                tokens - 1);
  }
  std::sort(added_.begin(), added_.end(),
            [&](int32_t a, int32_t b) { return vocabulary_.text(a) < vocabulary_.text(b); });
  if (std::adjacent_find(added_.begin(), added_.end()) != added_.end()) {
    throw_error(ErrorKind::kBadModel, "{}: added_tokens has a token twice", name);
  }
  for (int32_t id = 0; id < vocab_size(); ++id) {
    if (is_control(id)) control_.push_back({id, std::string(vocabulary_.text(id))});
  }
}

void Tokenizer::build_symbols(const TokenizerFile& file, const std::string& name) {
  bmp_symbols_.assign(0x10000, Vocabulary::kNone);
  byte_symbols_.fill(Vocabulary::kNone);
  fuse_unk_ = file.fuse_unk;
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const std::string_view text = vocabulary_.text(id);
    if (text.size() > 3) continue;
    const Utf8Char c = read_utf8(text, 0);
    if (static_cast<size_t>(c.bytes) == text.size() && !c.incomplete) bmp_symbols_[c.code] = id;
  }
  if (file.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_symbols_[static_cast<size_t>(byte)] = vocabulary_.find(fmt::format("<0x{:02X}>", byte));
    }
  }
  if (file.unk_token.empty()) return;
  unk_ = vocabulary_.find(file.unk_token);
  if (unk_ == Vocabulary::kNone) {
    throw_error(ErrorKind::kBadModel, "{}: model.unk_token \"{}\" is not in the vocabulary", name,
                file.unk_token);
  }
}

void Tokenizer::build_merges(const TokenizerFile& file, const std::string& name) {
  merge_count_ = static_cast<int>(file.merges.size() / 2);
  merges_ = Merges(merge_count_);
  bridges_.assign(kBridgeBits / 64, 0);
  bool can_cut = true;
  std::string joined;
  for (uint32_t rank = 0; rank < static_cast<uint32_t>(merge_count_); ++rank) {
    const auto text = [&](size_t side) {
      const auto& t = file.merges[rank * size_t{2} + side];
      return std::string_view(file.merge_arena).substr(t.begin, t.length);
    };
    const auto find = [&](std::string_view token) {
      const int32_t id = vocabulary_.find(token);
      if (id == Vocabulary::kNone) {
        throw_error(ErrorKind::kBadModel,
                    "{}: model.merges[{}] = [\"{}\", \"{}\"]: \"{}\" is not in the vocabulary; is the file "
                    "cut short?",
                    name, rank, text(0), text(1), token);
      }
      return id;
    };
    const int32_t left = find(text(0)), right = find(text(1));
    joined.assign(text(0)).append(text(1));
    merges_.add(left, right, rank, find(joined));
    // A token is a sequence of characters, unless byte tokens or <unk> are merged themselves.
    for (const size_t side : {0, 1}) {
      if (byte_value(text(side)) >= 0 || (side == 0 ? left : right) == unk_) can_cut = false;
    }
    const int32_t last = vocabulary_.find(last_char(text(0))), first = vocabulary_.find(first_char(text(1)));
    if (last == Vocabulary::kNone || first == Vocabulary::kNone) continue;  // never made from characters
    const size_t bit = bridge_bit(last, first);
    bridges_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
  if (!can_cut) bridges_.clear();
}

void Tokenizer::build_token_bytes() {
  constexpr std::string_view kSpace = "\u2581";
  bytes_begin_.reserve(static_cast<size_t>(vocab_size()) + 1);
  for (int32_t id = 0; id < vocab_size(); ++id) {
    bytes_begin_.push_back(static_cast<uint32_t>(bytes_.size()));
    std::string_view text = vocabulary_.text(id);
    switch (kinds_[static_cast<size_t>(id)]) {
      case Kind::kByte:
        bytes_.push_back(static_cast<char>(byte_value(text)));
        break;
      case Kind::kControl:
        bytes_ += text;
        break;
      case Kind::kText:
        for (size_t at; (at = text.find(kSpace)) != std::string_view::npos;
             text.remove_prefix(at + kSpace.size())) {
          bytes_ += text.substr(0, at);
          bytes_ += ' ';
        }
        bytes_ += text;
        break;
    }
  }
  bytes_begin_.push_back(static_cast<uint32_t>(bytes_.size()));
}

}  // namespace tessera
