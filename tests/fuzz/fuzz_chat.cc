// The text side of a conversation: the first byte picks a chat request (render_chat) or a reply (ReplyParser
// on the rest as text with markers, and parse_call on the rest as the text of a call).
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/file_map.h"
#include "text/call_parser.h"
#include "text/chat.h"
#include "text/reply_parser.h"
#include "text/utf8.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void render(std::string_view request) {
  try {
    require(tessera::render_chat(request).starts_with("<bos>"));
    tessera::Json tree = tessera::parse_json(request, tessera::ErrorKind::kBadRequest, "fuzz");
    tessera::parse_argument_strings(tree);
  } catch (const tessera::Error& error) {
    require(error.kind() == tessera::ErrorKind::kBadRequest);
  }
}

void reply(const tessera::Tokenizer& tokenizer, std::string_view text, bool in_thought) {
  tessera::ReplyParser parser(tokenizer, in_thought);
  const auto check = [](const std::vector<tessera::ReplyEvent>& events) {
    for (const auto& event : events) {
      require(tessera::is_utf8(event.text) && tessera::is_utf8(event.call.arguments_json));
      const bool call = event.kind == tessera::ReplyEvent::Kind::kToolCall;
      require(!call || !event.call.parsed || nlohmann::json::accept(event.call.arguments_json));
    }
  };
  for (const int32_t id : tokenizer.encode(text)) check(parser.push(id));
  check(parser.finish());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tessera::Tokenizer tiny = tessera::Tokenizer::from_json(
      tessera::read_text_file(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/tokenizer.json", 1 << 20), "tiny");
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      reply(tiny, rest, false);
      break;
    case 1:
      reply(tiny, rest, true);
      break;
    case 2:
      (void)tessera::parse_call(rest, size % 2 == 0);
      break;
    default:
      render(rest);
      break;  // '{' % 4 is 3: a request's own bytes work as a seed behind any '{'
  }
  return 0;
}
