#include "base/file_map.h"
#include "engine/source_files.h"
#include "format/gguf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"

namespace tessera {
namespace {

constexpr int64_t kMaxTokenizerBytes = int64_t{512} << 20;
constexpr size_t kMaxTokens = size_t{1} << 24;

}  // namespace

TokenizerFile read_tokenizer_of(const SourceModel& source) {
  if (!source.is_gguf()) {
    const std::string path = source.path() + "/tokenizer.json";
    return read_tokenizer_file(read_text_file(path, kMaxTokenizerBytes), path);
  }
  const GgufMetadata& file = *source.store().gguf();
  const auto tokens = file.strings("tokenizer.ggml.tokens"), merges = file.strings("tokenizer.ggml.merges");
  const auto types = file.integers("tokenizer.ggml.token_type", INT32_MIN, INT32_MAX, kMaxTokens);
  if (!tokens) file.refuse("tokenizer.ggml.tokens", "an array of strings");
  if (!types) file.refuse("tokenizer.ggml.token_type", "an array of integers");
  if (!merges) file.refuse("tokenizer.ggml.merges", "an array of strings");
  const std::vector<int32_t> small(types->begin(), types->end());
  return read_tokenizer_parts({*tokens, small, *merges}, file.file());
}

}  // namespace tessera
