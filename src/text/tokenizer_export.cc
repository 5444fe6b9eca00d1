#include "text/tokenizer_export.h"

#include <algorithm>

#include "base/error.h"

namespace tessera {
namespace {

constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kByte = 6;

/// Control tokens that converters mark as user-defined, so that programs which hide control tokens show them:
/// whoever reads replies needs them (docs/spec/formats.md §2.1).
constexpr std::string_view kVisible[] = {"<|channel>",   "<channel|>",       "<|tool_call>",
                                         "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                         "<|\"|>"};

bool is_byte(std::string_view token) {
  const auto hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
  };
  return token.size() == 6 && token.starts_with("<0x") && hex(token[3]) && hex(token[4]) && token[5] == '>';
}

std::string with_spaces_marked(std::string_view symbol) {
  std::string out;
  for (const char c : symbol) {
    if (c == ' ')
      out += "\xc4\xa0";  // U+0120
    else
      out += c;
  }
  return out;
}

/// A JSON string; the file's text is UTF-8, its reader checked.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

TokenLists tokenizer_lists(const TokenizerFile& file, const std::string& name) {
  TokenLists lists;
  const auto text_of = [&](const TokenizerFile::Token& t) {
    return std::string_view(file.arena).substr(t.begin, t.length);
  };
  size_t count = file.vocabulary.size();
  for (const auto& added : file.added)
    count = std::max(count, static_cast<size_t>(std::max<int64_t>(0, added.token.id)) + 1);
  // An added token is in the vocabulary, too, or comes after it.
  if (count > file.vocabulary.size() + file.added.size())
    throw_error(ErrorKind::kBadModel, "{}: ids up to {} for {} tokens, expected ids without gaps", name,
                count - 1, file.vocabulary.size() + file.added.size());
  lists.tokens.resize(count);
  lists.types.assign(count, 0);
  const auto place = [&](const TokenizerFile::Token& token, int32_t type, bool again) {
    const bool inside = token.id >= 0 && token.id < static_cast<int64_t>(count);
    const auto at = static_cast<size_t>(inside ? token.id : 0);
    if (!inside || (lists.types[at] != 0 && !(again && lists.tokens[at] == text_of(token))))
      throw_error(ErrorKind::kBadModel,
                  "{}: token id {} is out of place or there twice, expected 0 to {} once each", name,
                  token.id, count - 1);
    lists.tokens[at] = text_of(token);
    lists.types[at] = type;
  };
  for (const auto& token : file.vocabulary) place(token, is_byte(text_of(token)) ? kByte : kNormal, false);
  for (const auto& [token, special] : file.added) {
    const bool visible =
        std::find(std::begin(kVisible), std::end(kVisible), text_of(token)) != std::end(kVisible);
    place(token, special && !visible ? kControl : kUserDefined, true);
  }
  if (const auto gap = std::find(lists.types.begin(), lists.types.end(), 0); gap != lists.types.end())
    throw_error(ErrorKind::kBadModel, "{}: no token has id {}, expected 0 to {} without gaps", name,
                gap - lists.types.begin(), count - 1);
  lists.merges.reserve(file.merges.size() / 2);
  for (size_t i = 0; i + 1 < file.merges.size(); i += 2) {
    const auto side = [&](size_t which) {
      const auto& t = file.merges[i + which];
      return with_spaces_marked(std::string_view(file.merge_arena).substr(t.begin, t.length));
    };
    lists.merges.push_back(side(0) + " " + side(1));
  }
  return lists;
}

std::string tokenizer_json(const TokenizerFile& file) {
  std::string out = R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)";
  for (const auto& [token, special] : file.added) {
    if (out.back() == '}') out += ',';
    out += fmt::format(R"({{"id":{},"content":)", token.id);
    append_quoted(out, std::string_view(file.arena).substr(token.begin, token.length));
    out += fmt::format(
        R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":{}}})", special);
  }
  // docs/spec/tokenizer.md §1: the settings of the published file.
  out +=
      "],\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"},"
      R"("pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},)"
      R"("post_processor":null,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":)"
      "\"\xe2\x96\x81\"},\"content\":\" \"},"
      R"({"type":"ByteFallback"},{"type":"Fuse"}]},"model":{"type":"BPE","dropout":null,"unk_token":)";
  if (file.unk_token.empty())
    out += "null";
  else
    append_quoted(out, file.unk_token);
  out += fmt::format(
      R"(,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":{},"byte_fallback":{},"ignore_merges":false,"vocab":{{)",
      file.fuse_unk, file.byte_fallback);
  for (const auto& token : file.vocabulary) {
    append_quoted(out, std::string_view(file.arena).substr(token.begin, token.length));
    out += fmt::format(":{},", token.id);
  }
  if (out.back() == ',') out.pop_back();
  out += R"(},"merges":[)";
  for (size_t i = 0; i + 1 < file.merges.size(); i += 2) {
    for (size_t side = 0; side < 2; ++side) {
      const auto& t = file.merges[i + side];
      out += side == 0 ? '[' : ',';
      append_quoted(out, std::string_view(file.merge_arena).substr(t.begin, t.length));
    }
    out += "],";
  }
  if (out.back() == ',') out.pop_back();
  out += "]}}\n";
  return out;
}

}  // namespace tessera
