// Two inputs in one, split at the first 0xFF byte: a mutated tokenizer.json, and text for whatever tokenizer
// comes out. Text alone (no 0xFF) goes through the tiny tokenizer.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/file_map.h"
#include "tessera/tessera.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void encode_and_back(const tessera::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text);
  tessera::Detokenizer stream(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.push(id);
  streamed += stream.finish();
  require(tessera::is_utf8(streamed));
  require(tessera::is_utf8(tokenizer.decode(ids)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tessera::Tokenizer tiny = tessera::Tokenizer::from_json(
      tessera::read_text_file(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/tokenizer.json", 1 << 20), "tiny");
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\xFF');
  if (split == std::string_view::npos) {
    encode_and_back(tiny, input);
    return 0;
  }
  try {
    encode_and_back(tessera::Tokenizer::from_json(input.substr(0, split), "fuzz"), input.substr(split + 1));
  } catch (const tessera::Error& error) {
    require(error.kind() == tessera::ErrorKind::kBadModel);
  }
  return 0;
}
