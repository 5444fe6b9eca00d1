// What a server does with a body before the model sees it: the first byte picks the API, or the form of a
// recording, a data: URI, a query; the rest is the body. Nothing may end but in a request or an ApiError of
// 4xx or 501.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/api.h"
#include "server/media_source.h"
#include "server/multipart.h"
#include "server/scripted_model.h"
#include "server/transcript.h"

namespace {

using namespace tessera;
using namespace tessera::server;

void require(bool condition) {
  if (!condition) std::abort();
}

void parse(const Api& api, std::string_view text, ScriptedModel& model) {
  const ApiContext context{model, "fuzz", 0, {}};
  Json body = parse_json(text);
  const GenerateRequest request = api.parse(body, context);
  require(request.choices >= 1 && request.options.max_tokens >= 0);
  require(!request.chat.is_null() || !request.raw.empty());
  if (request.chat.is_null()) return;
  require(render_chat(dump(request.chat)).starts_with("<bos>"));
  for (const auto& input : request.media) media_bytes(input, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ScriptedModel model;
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto apis = generating_apis();
  const size_t choice = data[0] % (apis.size() + 3);
  try {
    if (choice < apis.size()) {
      parse(*apis[choice], rest, model);
    } else if (choice == apis.size()) {
      for (const auto& part : parse_form("multipart/form-data; boundary=b", rest))
        require(part.data.size() <= rest.size());
    } else if (choice == apis.size() + 1) {
      MediaInput input;
      input.source = std::string(rest);
      media_bytes(input, {});
    } else {
      (void)query_value(rest, "x");
      require(percent_decode(rest).size() <= rest.size());
    }
  } catch (const ApiError& error) {
    require((error.status >= 400 && error.status < 500) || error.status == 501);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::kBadRequest);
  }
  return 0;
}
