// A vocabulary in lists, as GGUF has it. docs/spec/formats.md §2.1.
#include <algorithm>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace tessera {
namespace {

constexpr int32_t kControlType = 3, kUserType = 4, kLastType = 6;

// docs/spec/tokenizer.md §2.
constexpr std::string_view kControlTokens[] = {
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|\"|>",
    "<|think|>",
    "<|channel>",
    "<channel|>",
    "<|turn>",
    "<turn|>",
    "<|image>",
    "<|audio>",
    "<|image|>",
    "<|audio|>",
    "<image|>",
    "<audio|>",
    "<|video|>",
};

bool is_published_control(std::string_view token) {
  return token.starts_with('<') &&
         std::find(std::begin(kControlTokens), std::end(kControlTokens), token) != std::end(kControlTokens);
}

/// Adds up; the arenas' offsets have 32 bits.
uint32_t append(std::string& arena, std::string_view text, const std::string& name) {
  if (text.size() > kMaxTokenizerFileBytes - arena.size())
    throw_error(ErrorKind::kTooLarge, "{}: tokens or merges of more than {} bytes together", name,
                kMaxTokenizerFileBytes);
  const auto begin = static_cast<uint32_t>(arena.size());
  arena += text;
  return begin;
}

void add_token(TokenizerFile& file, std::string_view text, int64_t id, int32_t type,
               const std::string& name) {
  if (!is_utf8(text)) throw_error(ErrorKind::kBadModel, "{}: token {} is not UTF-8", name, id);
  if (type < 1 || type > kLastType)
    throw_error(ErrorKind::kBadModel, "{}: token {} has type {}, expected 1 to {}", name, id, type,
                kLastType);
  const TokenizerFile::Token token{id, append(file.arena, text, name), static_cast<uint32_t>(text.size())};
  file.vocabulary.push_back(token);
  const bool control = type == kControlType || is_published_control(text);
  if (!control && type != kUserType) return;
  if (text.empty() || text.size() > kMaxAddedTokenBytes)
    throw_error(ErrorKind::kBadModel, "{}: control token {} has {} bytes, expected 1 to {}", name, id,
                text.size(), kMaxAddedTokenBytes);
  file.added.push_back({token, control});
}

}  // namespace

TokenizerFile read_tokenizer_parts(const TokenizerParts& parts, const std::string& name) {
  if (parts.tokens.empty() || parts.tokens.size() != parts.types.size())
    throw_error(ErrorKind::kBadModel, "{}: {} tokens and {} token types, expected one type for each token",
                name, parts.tokens.size(), parts.types.size());
  TokenizerFile file;
  file.byte_fallback = file.fuse_unk = true;  // of the published tokenizer; no list says so
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    add_token(file, parts.tokens[id], static_cast<int64_t>(id), parts.types[id], name);
    if (parts.tokens[id] == "<unk>") file.unk_token = "<unk>";
  }
  for (size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const std::string_view merge = parts.merges[rank];
    const size_t space = merge.find(' ', 1);  // no symbol is empty
    if (space == std::string_view::npos || space + 1 == merge.size())
      throw_error(ErrorKind::kBadModel, "{}: merge {} is \"{}\", expected \"left right\"", name, rank,
                  is_utf8(merge) ? merge.substr(0, 80) : std::string_view("not UTF-8"));
    for (const std::string_view side : {merge.substr(0, space), merge.substr(space + 1)})
      file.merges.push_back({append(file.merge_arena, side, name), static_cast<uint32_t>(side.size())});
  }
  return file;
}

}  // namespace tessera
