// POST /api/chat and /api/generate: Ollama's requests.
#include "server/ollama.h"

#include <fmt/format.h>

namespace tessera::server {
namespace {

void read_images(const Fields& fields, TurnBuilder& turn) {
  const Json* images = fields.list("images");
  for (size_t i = 0; images != nullptr && i < images->size(); ++i) {
    const std::string place = fmt::format("{}[{}]", fields.place("images"), i);
    if (!(*images)[i].is_string()) bad_field(place, &(*images)[i], "a string of Base64");
    MediaInput input;
    input.source = (*images)[i].get<std::string>();
    input.place = place;
    turn.media(std::move(input));
  }
}

void read_message(const Json& json, const std::string& place, GenerateRequest& request) {
  const Fields fields(json, place);
  const std::string role = fields.need_string("role");
  TurnBuilder turn(request, role);
  read_images(fields, turn);  // Ollama puts them before the text
  turn.text(fields.string("content"));
  if (role == "tool") {
    std::string name = fields.string("tool_name");
    if (name.empty()) name = fields.string("name");
    if (!name.empty()) turn.fields()["name"] = name;
    if (fields.find("tool_call_id") != nullptr) turn.fields()["tool_call_id"] = fields.string("tool_call_id");
  }
  if (const std::string thought = fields.string("thinking"); !thought.empty() && role == "assistant") {
    turn.fields()["reasoning_content"] = thought;
  }
  if (const Json* calls = fields.list("tool_calls"); calls != nullptr && role == "assistant") {
    Json& out = turn.fields()["tool_calls"] = Json::array();
    for (size_t i = 0; i < calls->size(); ++i) {
      const Fields call((*calls)[i], fmt::format("{}[{}]", fields.place("tool_calls"), i));
      const Json* function = call.object("function");
      if (function == nullptr) bad_field(call.place("function"), nullptr, "an object");
      const Fields inner(*function, call.place("function"));
      Json out_call = tool_call_json(call.string("id"), inner.need_string("name"), inner.find("arguments"),
                                     inner.place("arguments"));
      if (call.string("id").empty()) out_call.erase("id");  // results are matched by order and name
      out.push_back(std::move(out_call));
    }
  }
  turn.finish();
}

// model, stream (on when absent), options, format, think
bool read_common(const Fields& fields, const ApiContext& context, GenerateRequest& request) {
  request.model = fields.string("model");
  request.stream = fields.flag("stream", true);
  static const Json kNone = Json::object();
  const Json* options = fields.object("options");
  read_sampling(Fields(options != nullptr ? *options : kNone, "options"), context.defaults, request.options);
  if (const Json* format = fields.find("format")) {
    if (format->is_object()) {
      request.options.format.json_schema = dump(*format);
    } else if (*format == "json") {
      request.options.format.json_object = true;
    } else if (*format != "") {
      bad_field("format", format, "\"json\" or a JSON schema");
    }
  }
  request.options.reasoning_budget_tokens = context.defaults.reasoning_budget;
  const Json* think = fields.find("think");
  if (think == nullptr) return context.defaults.thinking;
  if (think->is_boolean()) return think->get<bool>();
  return effort_thinks(fields.string("think"), "think", request.options);
}

GenerateRequest parse_chat(Json& body, const ApiContext& context) {
  const Fields fields(body, "");
  GenerateRequest request;
  request.chat = {{"messages", Json::array()}};
  const bool thinks = read_common(fields, context, request);
  const Json* messages = fields.list("messages");
  if (messages == nullptr || messages->empty())
    bad_field("messages", messages, "a list of at least one message");
  for (size_t i = 0; i < messages->size(); ++i)
    read_message((*messages)[i], fmt::format("messages[{}]", i), request);
  if (const Json* tools = fields.list("tools")) {
    for (size_t i = 0; i < tools->size(); ++i) {
      const Fields tool((*tools)[i], fmt::format("tools[{}]", i));
      const Json* function = tool.object("function");
      if (function == nullptr) bad_field(tool.place("function"), nullptr, "an object");
      const Fields inner(*function, tool.place("function"));
      add_tool(request, inner.need_string("name"), inner.string("description"), inner.find("parameters"),
               inner.here());
    }
  }
  request.chat["enable_thinking"] = thinks;
  continue_prefill(request);
  return request;
}

GenerateRequest parse_generate(Json& body, const ApiContext& context) {
  const Fields fields(body, "");
  GenerateRequest request;
  const bool thinks = read_common(fields, context, request);
  if (!fields.string("suffix").empty()) throw bad_request("suffix: this model cannot fill in the middle");
  if (fields.flag("raw")) {
    request.raw.push_back({"<bos>" + fields.string("prompt"), {}});
    return request;
  }
  request.chat = {{"messages", Json::array()}};
  if (const std::string system = fields.string("system"); !system.empty()) {
    TurnBuilder turn(request, "system");
    turn.text(system);
    turn.finish();
  }
  TurnBuilder turn(request, "user");
  read_images(fields, turn);
  turn.text(fields.string("prompt"));
  turn.finish();
  request.chat["enable_thinking"] = thinks;
  return request;
}

std::unique_ptr<ReplyWriter> chat_writer(const WriterParts& parts) {
  return make_ollama_writer(parts, true);
}
std::unique_ptr<ReplyWriter> generate_writer(const WriterParts& parts) {
  return make_ollama_writer(parts, false);
}

}  // namespace

const Api kOllamaChat = {"ollama_chat", "/api/chat", parse_chat, chat_writer, ollama_error};
const Api kOllamaGenerate = {"ollama_generate", "/api/generate", parse_generate, generate_writer,
                             ollama_error};

}  // namespace tessera::server
