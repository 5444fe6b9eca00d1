// POST /v1/responses: the request. Stateless: nothing is stored, so nothing can be referred to.
#include <fmt/format.h>

#include "server/openai.h"
#include "server/responses.h"

namespace tessera::server {
namespace {

// Items of one turn of the model come apart (reasoning, calls, text): they are put together again.
class Items {
 public:
  Items(GenerateRequest& request, int budget) : request_(request), budget_(budget) {}

  void read(const Json& json, const std::string& place) {
    const Fields item(json, place);
    const std::string type = item.string("type", "message");
    if (type == "message") {
      read_message(item);
    } else if (type == "reasoning") {
      for (const char* key : {"content", "summary"}) {
        const Json* parts = item.list(key);
        if (parts == nullptr || parts->empty()) continue;
        for (const auto& part : *parts) thought_ += Fields(part, item.place(key)).string("text");
        break;
      }
    } else if (type == "function_call") {
      std::string id = item.string("call_id");
      calls_.push_back(
          tool_call_json(id, item.need_string("name"), item.find("arguments"), item.place("arguments")));
    } else if (type == "function_call_output") {
      flush();
      TurnBuilder turn(request_, "tool");
      turn.fields()["tool_call_id"] = item.need_string("call_id");
      read_content(item.find("output"), item.place("output"), turn, budget_);
      turn.finish();
    } else {
      throw bad_request(
          fmt::format("{}.type is \"{}\", expected message, reasoning, function_call or "
                      "function_call_output",
                      place, type.substr(0, 40)));
    }
  }

  void flush() {
    if (calls_.empty() && thought_.empty()) return;
    TurnBuilder turn(request_, "assistant");
    finish_assistant(turn);
  }

 private:
  void read_message(const Fields& item) {
    const std::string role = item.need_string("role");
    if (role != "assistant") flush();
    TurnBuilder turn(request_, role);
    read_content(item.find("content"), item.place("content"), turn, budget_);
    role == "assistant" ? finish_assistant(turn) : turn.finish();
  }

  void finish_assistant(TurnBuilder& turn) {
    if (!thought_.empty()) turn.fields()["reasoning_content"] = std::exchange(thought_, {});
    if (!calls_.empty()) turn.fields()["tool_calls"] = std::exchange(calls_, Json::array());
    turn.finish();
  }

  GenerateRequest& request_;
  const int budget_;
  std::string thought_;
  Json calls_ = Json::array();
};

void read_tools(const Fields& fields, GenerateRequest& request) {
  if (const Json* tools = fields.list("tools")) {
    for (size_t i = 0; i < tools->size(); ++i) {
      const Fields tool((*tools)[i], fmt::format("tools[{}]", i));
      if (const std::string type = tool.need_string("type"); type != "function") {
        throw bad_request(fmt::format("{}.type is \"{}\": only tools of your own can be used here",
                                      tool.here(), type.substr(0, 40)));
      }
      add_tool(request, tool.need_string("name"), tool.string("description"), tool.find("parameters"),
               tool.here());
    }
  }
  request.options.format.parallel_tool_calls = fields.flag("parallel_tool_calls", true);
  if (const Json* choice = fields.find("tool_choice")) {
    if (choice->is_string()) {
      choose_tool(request, choice->get<std::string>(), "", "tool_choice");
    } else {
      choose_tool(request, "named", Fields(*choice, "tool_choice").need_string("name"), "tool_choice");
    }
  }
}

GenerateRequest parse_responses(Json& body, const ApiContext& context) {
  const Fields fields(body, "");
  GenerateRequest request;
  request.chat = {{"messages", Json::array()}};
  read_openai_common(fields, context, request);
  for (const char* key : {"previous_response_id", "conversation"}) {
    if (fields.find(key) != nullptr) {
      throw bad_request(std::string(key) +
                        ": this server keeps no responses; send the whole conversation as input");
    }
  }
  if (fields.flag("background")) throw bad_request("background: this server keeps no responses");
  const int budget = request_budget(fields);
  if (const std::string text = fields.string("instructions"); !text.empty()) {
    TurnBuilder turn(request, "system");
    turn.text(text);
    turn.finish();
  }
  const Json& input = fields.need("input");
  if (input.is_string()) {
    TurnBuilder turn(request, "user");
    turn.text(input.get<std::string>());
    turn.finish();
  } else if (input.is_array() && !input.empty()) {
    Items items(request, budget);
    for (size_t i = 0; i < input.size(); ++i) items.read(input[i], fmt::format("input[{}]", i));
    items.flush();
  } else {
    bad_field("input", &input, "a string or a list of items");
  }
  read_tools(fields, request);
  if (const Json* text = fields.object("text")) {
    if (const Json* format = Fields(*text, "text").object("format")) {
      read_response_format(*format, "text.format", request.options);
    }
  }
  bool thinks = context.defaults.thinking;
  request.options.reasoning_budget_tokens = context.defaults.reasoning_budget;
  if (const Json* reasoning = fields.object("reasoning")) {
    const Fields inner(*reasoning, "reasoning");
    if (inner.find("effort") != nullptr)
      thinks = effort_thinks(inner.string("effort"), "reasoning.effort", request.options);
  }
  request.chat["enable_thinking"] = thinks;
  const Json absent = {{"instructions", nullptr},
                       {"max_output_tokens", nullptr},
                       {"parallel_tool_calls", true},
                       {"reasoning", nullptr},
                       {"text", {{"format", {{"type", "text"}}}}},
                       {"tool_choice", "auto"},
                       {"tools", Json::array()},
                       {"metadata", Json::object()},
                       {"user", nullptr}};
  for (const auto& [key, value] : absent.items()) {
    const Json* given = fields.find(key);
    request.repeated[key] = given != nullptr ? *given : value;
  }
  request.repeated["temperature"] = request.options.sampling.temperature;
  request.repeated["top_p"] = request.options.sampling.top_p;
  return request;
}

}  // namespace

const Api kOpenAiResponses = {"responses", "/v1/responses", parse_responses, make_responses_writer,
                              openai_error};

}  // namespace tessera::server
