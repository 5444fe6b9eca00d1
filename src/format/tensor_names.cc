// Spellings of tensor names. Google's file: "model.language_model.layers.…". MLX drops the leading "model."
// and puts one after "language_model."; text-only fine-tunes write "model.layers.…"; transformers >= 5.17
// keeps the vision modules under "embed_vision" in memory. docs/spec/formats.md §4.1, model.md §3.
#include "format/tensor_file.h"

namespace tessera {
namespace {

bool eat(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string canonical_name(std::string_view file_name) {
  using namespace std::string_view_literals;
  std::string_view rest = file_name;
  eat(rest, "model.");
  const bool language = eat(rest, "language_model.");
  if (language) eat(rest, "model.");
  if (rest.starts_with("lm_head.")) return {};
  if (language || rest.starts_with("layers.") || rest.starts_with("embed_tokens.") ||
      rest.starts_with("norm."))
    return "model.language_model." + std::string(rest);

  if (rest.starts_with("vision_embedder.")) return "model." + std::string(rest);
  for (const auto module : {"embed_vision."sv, "embed_audio."sv}) {
    if (!eat(rest, module)) continue;
    eat(rest, "multimodal_embedder.");
    for (const auto part :
         {"patch_ln1."sv, "patch_dense."sv, "patch_ln2."sv, "pos_norm."sv, "pos_embedding"sv})
      if (module == "embed_vision." && rest.starts_with(part))
        return "model.vision_embedder." + std::string(rest);
    return "model." + std::string(module) + std::string(rest);
  }
  return std::string(file_name);
}

}  // namespace tessera
