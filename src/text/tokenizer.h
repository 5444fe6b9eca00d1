#pragma once
// Tokenizer: text ↔ token ids with the byte-pair encoding of a Hugging Face tokenizer.json.
// Source: docs/spec/tokenizer.md §1, §3; the order of merges and the fall back to bytes are
// those of the reference (Hugging Face tokenizers).
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/merges.h"
#include "text/vocabulary.h"

namespace tessera {

struct TokenizerFile;

/// A vocabulary as other containers than tokenizer.json hold it, in views that need not outlive the call.
struct TokenizerParts {
  std::span<const std::string_view> tokens;  // by id; spaces as U+2581, bytes as <0x0A>
  std::span<const int32_t> types;            // of each token, as SentencePiece and GGUF number them:
                                   // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::span<const std::string_view> merges;  // "left right", lowest rank first
};

struct ControlToken {
  int32_t id = 0;
  std::string text;
};

/// Immutable once made; any thread may use it. Movable, not copyable (30 MB).
class Tokenizer {
 public:
  /// `json`: the bytes of tokenizer.json; `name`: its path, for errors. Throws Error(kBadModel) when the file
  /// is not JSON, not a BPE of this kind, or contradicts itself (ids not 0 … n - 1, merges of unknown
  /// tokens).
  static Tokenizer from_json(std::string_view json, const std::string& name);

  /// The same from parts. Tokens of type 3 and 4 are parsed in text as added_tokens are; the published
  /// control tokens are whatever their type says (converters mark some of them 1). `name` as above. Throws
  /// Error(kBadModel): lists of different lengths, unknown types, an empty token or one twice, a merge that
  /// is not two known tokens.
  static Tokenizer from_parts(const TokenizerParts& parts, const std::string& name);

  Tokenizer(Tokenizer&&) noexcept = default;
  Tokenizer& operator=(Tokenizer&&) noexcept = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Control tokens in the text are parsed (the longest, leftmost); no <bos> is added. Bytes that are not
  /// UTF-8 become byte tokens. O(n log n) whatever the text. Throws Error(kTooLarge) from 2 GiB on.
  std::vector<int32_t> encode(std::string_view utf8) const;

  /// As the reference: control tokens give their string; a run of byte tokens that is not UTF-8 as a whole
  /// gives one U+FFFD per byte. (A stream cannot know the whole run: see Detokenizer.) Throws
  /// Error(kBadRequest) for an id outside the vocabulary.
  std::string decode(std::span<const int32_t> ids) const;

  /// The bytes a token always stands for: its string with U+2581 as space; the byte of <0xHH>; a control
  /// token's string. Not UTF-8 by itself for a byte token. Throws Error(kBadRequest) for an id outside the
  /// vocabulary.
  std::string_view token_bytes(int32_t id) const;

  /// The id of a token by its string in the file (U+2581 for space, "<0x0A>" for a byte).
  std::optional<int32_t> find(std::string_view token) const;

  int vocab_size() const { return vocabulary_.size(); }
  int merges() const { return merge_count_; }
  /// False for ids outside the vocabulary, too.
  bool is_control(int32_t id) const;
  /// Ascending ids.
  const std::vector<ControlToken>& control_tokens() const { return control_; }

 private:
  Tokenizer() = default;
  enum class Kind : uint8_t { kText, kByte, kControl };

  static Tokenizer build(TokenizerFile file, const std::string& name);
  void build_vocabulary(TokenizerFile& file, const std::string& name);
  void build_merges(const TokenizerFile& file, const std::string& name);
  void build_symbols(const TokenizerFile& file, const std::string& name);
  void build_token_bytes();
  struct Encoder;
  std::string_view match_added(std::string_view text, int32_t& id) const;
  int32_t symbol(char32_t code) const;
  bool may_merge(int32_t left_symbol, int32_t right_symbol) const;
  size_t bridge_bit(int32_t left_symbol, int32_t right_symbol) const;
  void check_id(int32_t id) const;

  Vocabulary vocabulary_;
  Merges merges_;
  int merge_count_ = 0;

  std::vector<int32_t> added_;          // ids of added tokens, sorted by their bytes
  std::array<bool, 256> added_lead_{};  // bytes an added token begins with
  std::vector<ControlToken> control_;

  std::vector<int32_t> bmp_symbols_;         // [65536]: token of one code point, or Vocabulary::kNone
  std::array<int32_t, 256> byte_symbols_{};  // <0xHH>; kNone without byte fallback
  int32_t unk_ = Vocabulary::kNone;
  bool fuse_unk_ = false;
  // Pairs of neighbouring characters that some merge can join, as a one-hash Bloom filter: where it says no,
  // text can be cut without changing the result, which keeps heaps to the size of a word. Empty: cut nowhere.
  std::vector<uint64_t> bridges_;

  std::string bytes_;                  // token_bytes of all tokens, in the order of ids
  std::vector<uint32_t> bytes_begin_;  // [vocab_size + 1]
  std::vector<Kind> kinds_;
};

}  // namespace tessera
