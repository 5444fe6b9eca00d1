// POST /v1/chat/completions: the request.
#include <fmt/format.h>

#include "server/api.h"
#include "server/openai.h"

namespace tessera::server {
namespace {

constexpr int kMaxChoices = 16;

void read_message(const Json& json, const std::string& place, GenerateRequest& request, int budget) {
  const Fields fields(json, place);
  std::string role = fields.need_string("role");
  if (role == "function") role = "tool";
  TurnBuilder turn(request, role);
  read_content(fields.find("content"), fields.place("content"), turn, budget);
  for (const char* key : {"name", "tool_call_id"}) {
    if (fields.find(key) != nullptr) turn.fields()[key] = fields.string(key);
  }
  if (role == "assistant") {
    std::string thought = fields.string("reasoning_content");
    if (thought.empty()) thought = fields.string("reasoning");
    if (!thought.empty()) turn.fields()["reasoning_content"] = std::move(thought);
    if (const Json* calls = fields.list("tool_calls")) {
      Json& out = turn.fields()["tool_calls"] = Json::array();
      for (size_t i = 0; i < calls->size(); ++i) {
        const Fields call((*calls)[i], fmt::format("{}[{}]", fields.place("tool_calls"), i));
        const Json* function = call.object("function");
        if (function == nullptr) bad_field(call.place("function"), nullptr, "an object");
        const Fields inner(*function, call.place("function"));
        out.push_back(tool_call_json(call.string("id"), inner.need_string("name"), inner.find("arguments"),
                                     inner.place("arguments")));
      }
    }
  }
  turn.finish();
}

void read_tools(const Fields& fields, GenerateRequest& request) {
  if (const Json* tools = fields.list("tools")) {
    for (size_t i = 0; i < tools->size(); ++i) {
      const Fields tool((*tools)[i], fmt::format("{}[{}]", fields.place("tools"), i));
      const std::string type = tool.string("type", "function");
      if (type != "function") {
        throw bad_request(
            fmt::format("{}.type is \"{}\", expected function", tool.here(), type.substr(0, 40)));
      }
      const Json* function = tool.object("function");
      if (function == nullptr) bad_field(tool.place("function"), nullptr, "an object");
      const Fields inner(*function, tool.place("function"));
      add_tool(request, inner.need_string("name"), inner.string("description"), inner.find("parameters"),
               inner.here());
    }
  }
  request.options.format.parallel_tool_calls = fields.flag("parallel_tool_calls", true);
  if (const Json* choice = fields.find("tool_choice")) {
    if (choice->is_string()) {
      choose_tool(request, choice->get<std::string>(), "", "tool_choice");
    } else {
      const Fields named(*choice, "tool_choice");
      const Json* function = named.object("function");
      choose_tool(
          request, "named",
          Fields(function != nullptr ? *function : *choice, "tool_choice.function").need_string("name"),
          "tool_choice");
    }
  }
}

bool read_reasoning(const Fields& fields, const ApiContext& context, GenerateOptions& options) {
  bool thinks = context.defaults.thinking;
  options.reasoning_budget_tokens = context.defaults.reasoning_budget;
  if (const Json* reasoning = fields.object("reasoning")) {
    const Fields inner(*reasoning, "reasoning");
    if (inner.find("effort") != nullptr)
      thinks = effort_thinks(inner.string("effort"), "reasoning.effort", options);
    thinks = inner.flag("enabled", thinks);
  }
  if (fields.find("reasoning_effort") != nullptr) {
    thinks = effort_thinks(fields.string("reasoning_effort"), "reasoning_effort", options);
  }
  if (const Json* kwargs = fields.object("chat_template_kwargs")) {
    thinks = Fields(*kwargs, "chat_template_kwargs").flag("enable_thinking", thinks);
  }
  for (const char* key : {"reasoning_budget_tokens", "reasoning_budget", "thinking_budget_tokens"}) {
    if (const auto budget = fields.integer(key, -1, 1 << 24)) {
      options.reasoning_budget_tokens = static_cast<int>(*budget);
      if (*budget == 0) thinks = false;
    }
  }
  return thinks;
}

GenerateRequest parse_chat_completion(Json& body, const ApiContext& context) {
  const Fields fields(body, "");
  GenerateRequest request;
  request.chat = {{"messages", Json::array()}};
  read_openai_common(fields, context, request);
  const int budget = request_budget(fields);
  const Json* messages = fields.list("messages");
  if (messages == nullptr || messages->empty())
    bad_field("messages", messages, "a list of at least one message");
  for (size_t i = 0; i < messages->size(); ++i) {
    read_message((*messages)[i], fmt::format("messages[{}]", i), request, budget);
  }
  read_tools(fields, request);
  if (const Json* format = fields.find("response_format"))
    read_response_format(*format, "response_format", request.options);
  request.chat["enable_thinking"] = read_reasoning(fields, context, request.options);
  if (const Json* kwargs = fields.object("chat_template_kwargs")) {
    if (Fields(*kwargs, "chat_template_kwargs").flag("preserve_thinking"))
      request.chat["preserve_thinking"] = true;
  }
  request.include_thought = fields.flag("include_reasoning", true);
  request.return_progress = fields.flag("return_progress");
  request.timings_per_token = fields.flag("timings_per_token");
  if (fields.find("add_generation_prompt") != nullptr)
    request.chat["add_generation_prompt"] = fields.flag("add_generation_prompt");
  if (fields.flag("continue_final_message")) continue_last(request);
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (fields.flag("logprobs")) {
    request.options.top_logprobs = static_cast<int>(top.value_or(0));
  } else if (top && *top > 0) {
    throw bad_request("top_logprobs needs \"logprobs\": true");
  }
  return request;
}

}  // namespace

void read_openai_common(const Fields& fields, const ApiContext& context, GenerateRequest& request) {
  read_sampling(fields, context.defaults, request.options);
  request.model = fields.string("model");
  request.stream = fields.flag("stream");
  if (const Json* options = fields.object("stream_options")) {
    request.include_usage = Fields(*options, "stream_options").flag("include_usage");
  }
  request.choices = static_cast<int>(fields.integer("n", 1, kMaxChoices).value_or(1));
}

HttpAnswer openai_error(const ApiError& error) {
  HttpAnswer answer{error.status, "application/json", dump(openai_error_json(error))};
  if (error.retry_after_s > 0)
    answer.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  if (error.status == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

Json openai_error_json(const ApiError& error) {
  Json inner = {{"code", error.status}, {"message", error.what()}, {"type", error.type}, {"param", nullptr}};
  if (error.context_tokens > 0) {
    inner["n_prompt_tokens"] = error.prompt_tokens;
    inner["n_ctx"] = error.context_tokens;
  }
  return {{"error", std::move(inner)}};
}

const Api kOpenAiChat = {"chat_completions", "/v1/chat/completions", parse_chat_completion,
                         make_openai_chat_writer, openai_error};

}  // namespace tessera::server
