// POST /v1/messages: Anthropic's request.
#include "server/anthropic.h"

#include <fmt/format.h>

namespace tessera::server {
namespace {

void read_image(const Fields& block, MediaKind kind, TurnBuilder& turn) {
  const Json* json = block.object("source");
  if (json == nullptr) bad_field(block.place("source"), nullptr, "an object");
  const Fields source(*json, block.place("source"));
  const std::string type = source.need_string("type");
  MediaInput input;
  input.kind = kind;
  input.place = block.here();
  if (type == "base64") {
    input.source = source.need_string("data");
  } else if (type == "url") {
    input.source = source.need_string("url");
  } else {
    throw bad_request(
        fmt::format("{}.type is \"{}\", expected base64 or url", source.here(), type.substr(0, 40)));
  }
  turn.media(std::move(input));
}

// The text and images of a tool's result, as a message of its own.
void read_tool_result(const Fields& block, GenerateRequest& request) {
  TurnBuilder turn(request, "tool");
  turn.fields()["tool_call_id"] = block.need_string("tool_use_id");
  const Json* content = block.find("content");
  if (content != nullptr && content->is_array()) {
    for (size_t i = 0; i < content->size(); ++i) {
      const Fields part((*content)[i], fmt::format("{}[{}]", block.place("content"), i));
      if (part.need_string("type") == "image") {
        read_image(part, MediaKind::kImage, turn);
      } else {
        turn.text(part.need_string("text"));
      }
    }
  } else if (content != nullptr) {
    turn.text(block.string("content"));
  }
  if (turn.empty()) turn.text("");
  turn.finish();
}

void read_user(const Fields& message, const Json& blocks, GenerateRequest& request) {
  const auto block_at = [&](size_t i) {
    return Fields(blocks[i], fmt::format("{}[{}]", message.place("content"), i));
  };
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Fields block = block_at(i);
    if (block.need_string("type") == "tool_result") read_tool_result(block, request);
  }
  TurnBuilder turn(request, "user");
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Fields block = block_at(i);
    const std::string type = block.need_string("type");
    if (type == "text") {
      turn.text(block.need_string("text"));
    } else if (type == "image") {
      read_image(block, MediaKind::kImage, turn);
    } else if (type == "audio" || type == "video") {
      read_image(block, type == "audio" ? MediaKind::kAudio : MediaKind::kVideo, turn);
    } else if (type != "tool_result") {
      throw bad_request(fmt::format("{}.type is \"{}\", expected text, image, audio, video or tool_result",
                                    block.here(), type.substr(0, 40)));
    }
  }
  if (!turn.empty()) turn.finish();
}

void read_assistant(const Fields& message, const Json& blocks, GenerateRequest& request) {
  TurnBuilder turn(request, "assistant");
  std::string thought;
  Json calls = Json::array();
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Fields block(blocks[i], fmt::format("{}[{}]", message.place("content"), i));
    const std::string type = block.need_string("type");
    if (type == "text") {
      turn.text(block.need_string("text"));
    } else if (type == "thinking") {
      thought += block.need_string("thinking");
    } else if (type == "tool_use") {
      calls.push_back(tool_call_json(block.need_string("id"), block.need_string("name"), block.find("input"),
                                     block.place("input")));
    } else if (type != "redacted_thinking") {
      throw bad_request(fmt::format("{}.type is \"{}\", expected text, thinking or tool_use", block.here(),
                                    type.substr(0, 40)));
    }
  }
  if (!thought.empty()) turn.fields()["reasoning_content"] = std::move(thought);
  if (!calls.empty()) turn.fields()["tool_calls"] = std::move(calls);
  turn.finish();
}

void read_system(const Fields& fields, GenerateRequest& request) {
  const Json* system = fields.find("system");
  if (system == nullptr) return;
  std::string text;
  if (system->is_string()) {
    text = system->get<std::string>();
  } else {
    const Json* blocks = fields.list("system");
    for (size_t i = 0; i < blocks->size(); ++i) {
      if (!text.empty()) text += "\n";
      text += Fields((*blocks)[i], fmt::format("system[{}]", i)).need_string("text");
    }
  }
  TurnBuilder turn(request, "system");
  turn.text(std::move(text));
  turn.finish();
}

void read_tools(const Fields& fields, GenerateRequest& request) {
  if (const Json* tools = fields.list("tools")) {
    for (size_t i = 0; i < tools->size(); ++i) {
      const Fields tool((*tools)[i], fmt::format("tools[{}]", i));
      const std::string type = tool.string("type", "custom");
      if (type != "custom") {
        throw bad_request(fmt::format("{}.type is \"{}\": only tools of your own can be used here",
                                      tool.here(), type.substr(0, 40)));
      }
      add_tool(request, tool.need_string("name"), tool.string("description"), tool.find("input_schema"),
               tool.here());
    }
  }
  if (const Json* json = fields.object("tool_choice")) {
    const Fields choice(*json, "tool_choice");
    const std::string type = choice.need_string("type");
    choose_tool(request, type == "tool" ? "named" : type, choice.string("name"), "tool_choice.type");
    request.options.format.parallel_tool_calls = !choice.flag("disable_parallel_tool_use");
  }
}

bool read_thinking(const Fields& fields, const ApiContext& context, GenerateOptions& options) {
  bool thinks = context.defaults.thinking;
  options.reasoning_budget_tokens = context.defaults.reasoning_budget;
  if (const Json* output = fields.object("output_config")) {
    const Fields inner(*output, "output_config");
    if (inner.find("effort") != nullptr)
      effort_thinks(inner.string("effort"), "output_config.effort", options);
    if (const Json* format = inner.object("format"))
      read_response_format(*format, "output_config.format", options);
  }
  if (const Json* json = fields.object("thinking")) {
    const Fields thinking(*json, "thinking");
    const std::string type = thinking.need_string("type");
    if (type != "enabled" && type != "disabled" && type != "adaptive") {
      throw bad_request(
          fmt::format("thinking.type is \"{}\", expected enabled, disabled or adaptive", type.substr(0, 40)));
    }
    thinks = type != "disabled";
    if (const auto budget = thinking.integer("budget_tokens", 1, 1 << 24)) {
      options.reasoning_budget_tokens = static_cast<int>(*budget);
    }
  }
  return thinks;
}

GenerateRequest parse_messages(Json& body, const ApiContext& context) {
  if (body.is_object() && !body.contains("max_tokens"))
    throw bad_request("max_tokens is missing; expected a number of tokens");
  return parse_anthropic(body, context);
}

}  // namespace

GenerateRequest parse_anthropic(Json& body, const ApiContext& context) {
  const Fields fields(body, "");
  GenerateRequest request;
  request.chat = {{"messages", Json::array()}};
  read_sampling(fields, context.defaults, request.options);
  request.model = fields.string("model");
  request.stream = fields.flag("stream");
  read_system(fields, request);
  const Json* messages = fields.list("messages");
  if (messages == nullptr || messages->empty())
    bad_field("messages", messages, "a list of at least one message");
  for (size_t i = 0; i < messages->size(); ++i) {
    const Fields message((*messages)[i], fmt::format("messages[{}]", i));
    const std::string role = message.need_string("role");
    if (role != "user" && role != "assistant") {
      throw bad_request(
          fmt::format("{} is \"{}\", expected user or assistant", message.place("role"), role.substr(0, 40)));
    }
    const Json& content = message.need("content");
    if (content.is_string()) {
      TurnBuilder turn(request, role);
      turn.text(content.get<std::string>());
      turn.finish();
      continue;
    }
    if (!content.is_array()) bad_field(message.place("content"), &content, "a string or a list of blocks");
    role == "user" ? read_user(message, content, request) : read_assistant(message, content, request);
  }
  read_tools(fields, request);
  request.chat["enable_thinking"] = read_thinking(fields, context, request.options);
  continue_prefill(request);
  return request;
}

const Api kAnthropicMessages = {"messages", "/v1/messages", parse_messages, make_anthropic_writer,
                                anthropic_error};

}  // namespace tessera::server
