#pragma once
// A tokenizer.json as the lists that a GGUF has of it (docs/spec/formats.md §2.1).
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace tessera::test {

struct TokenizerLists {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;

  explicit TokenizerLists(const nlohmann::json& file) {
    const auto& vocabulary = file.at("model").at("vocab");
    tokens.resize(vocabulary.size());
    for (const auto& [text, id] : vocabulary.items()) tokens.at(id.get<size_t>()) = text;
    types.assign(tokens.size(), 1);
    for (size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i].size() == 6 && tokens[i].starts_with("<0x")) types[i] = 6;
    // What llama.cpp's converter marks as user-defined, so that it stays visible.
    const std::set<std::string> visible = {"<|channel>",   "<channel|>",       "<|tool_call>",
                                           "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                           "<|\"|>"};
    for (const auto& added : file.at("added_tokens"))
      types.at(added.at("id").get<size_t>()) = visible.contains(added.at("content")) ? 4 : 3;
    for (const auto& merge : file.at("model").at("merges"))
      merges.push_back(merge.is_string()
                           ? merge.get<std::string>()
                           : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }

  Tokenizer tokenizer(const std::string& name) const {
    const std::vector<std::string_view> token_views(tokens.begin(), tokens.end()),
        merge_views(merges.begin(), merges.end());
    return Tokenizer::from_parts({token_views, types, merge_views}, name);
  }
};

}  // namespace tessera::test
