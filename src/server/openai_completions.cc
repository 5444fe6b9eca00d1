// POST /v1/completions: text in, text out, without the chat format.
#include <fmt/format.h>

#include "server/openai.h"

namespace tessera::server {
namespace {

constexpr size_t kMaxPrompts = 64, kMaxPromptTokens = 1 << 20;
constexpr int kDefaultMaxTokens = 16;  // OpenAI's

std::vector<int32_t> read_ids(const Json& list, const std::string& place) {
  if (list.size() > kMaxPromptTokens)
    throw bad_request(fmt::format("{} has more than {} tokens", place, kMaxPromptTokens));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number_integer() || list[i].get<int64_t>() < 0 || list[i].get<int64_t>() > INT32_MAX) {
      bad_field(fmt::format("{}[{}]", place, i), &list[i], "a token id");
    }
    ids.push_back(list[i].get<int32_t>());
  }
  if (ids.empty()) throw bad_request(place + " is an empty list");
  return ids;
}

GenerateRequest parse_completion(Json& body, const ApiContext& context) {
  const Fields fields(body, "");
  GenerateRequest request;
  read_openai_common(fields, context, request);
  if (request.options.max_tokens == 0) request.options.max_tokens = kDefaultMaxTokens;
  if (!fields.string("suffix").empty()) throw bad_request("suffix: this model cannot fill in the middle");
  if (const auto best = fields.integer("best_of", 1, 64); best && *best != request.choices) {
    throw bad_request("best_of must equal n");
  }
  request.echo = fields.flag("echo");
  if (const auto top = fields.integer("logprobs", 0, 20))
    request.options.top_logprobs = static_cast<int>(*top);
  if (const Json* format = fields.find("response_format"))
    read_response_format(*format, "response_format", request.options);
  const Json& prompt = fields.need("prompt");
  if (prompt.is_string()) {
    request.raw.push_back({"<bos>" + prompt.get<std::string>(), {}});
  } else if (!prompt.is_array() || prompt.empty()) {
    bad_field("prompt", &prompt, "a string, a list of strings, or token ids");
  } else if (prompt[0].is_number()) {
    request.raw.push_back({{}, read_ids(prompt, "prompt")});
  } else {
    if (prompt.size() > kMaxPrompts)
      throw bad_request(fmt::format("{} prompts, the limit is {}", prompt.size(), kMaxPrompts));
    for (size_t i = 0; i < prompt.size(); ++i) {
      const std::string place = fmt::format("prompt[{}]", i);
      if (prompt[i].is_string()) {
        request.raw.push_back({"<bos>" + prompt[i].get<std::string>(), {}});
      } else if (prompt[i].is_array()) {
        request.raw.push_back({{}, read_ids(prompt[i], place)});
      } else {
        bad_field(place, &prompt[i], "a string or a list of token ids");
      }
    }
  }
  return request;
}

class CompletionsWriter final : public ReplyWriter {
 public:
  explicit CompletionsWriter(const WriterParts& parts)
      : request_(parts.request),
        http_(parts.http),
        context_(parts.context),
        id_(random_id("cmpl-")),
        created_(unix_seconds()) {
    if (request_.stream) http_.stream(kEventStream, kSseComment);
  }

  void event(int answer, const Event& event) override {
    if (event.kind == EventKind::kPrefill) return;
    if (event.kind == EventKind::kToolCall) return send(answer, event.tool_call.arguments_json, "");
    if (event.kind == EventKind::kText) send(answer, event.text, "");
  }

  void finish(int answer, const Reply& reply) override {
    totals_.add(reply.usage, 0, answer % request_.choices != 0);
    std::string reason = openai_finish(reply);
    if (reason == "tool_calls") reason = "stop";
    if (request_.stream) return send(answer, "", reason);
    std::string text = prompt_text(answer) + reply.text;
    for (const auto& call : reply.tool_calls) text += call.arguments_json;
    Json choice = {{"text", text}, {"index", answer}, {"logprobs", nullptr}, {"finish_reason", reason}};
    if (request_.options.top_logprobs >= 0) choice["logprobs"] = logprobs(reply);
    choices_.push_back(std::move(choice));
  }

  void end() override {
    if (request_.stream) {
      if (request_.include_usage) {
        Json chunk = head();
        chunk["choices"] = Json::array();
        chunk["usage"] = openai_usage(totals_);
        http_.write(sse(chunk));
      }
      http_.write("data: [DONE]\n\n");
      return;
    }
    Json body = head();
    body["choices"] = std::move(choices_);
    body["usage"] = openai_usage(totals_);
    body["timings"] = timings(totals_);
    http_.send({200, "application/json", dump(body)});
  }

  void fail(const ApiError& error) override { http_.write(sse(openai_error_json(error))); }

 private:
  Json head() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", request_.model.empty() ? context_.model_name : request_.model},
            {"system_fingerprint", "tessera"}};
  }

  std::string prompt_text(int answer) const {
    if (!request_.echo) return {};
    const RawPrompt& prompt = request_.raw[static_cast<size_t>(answer / request_.choices)];
    return prompt.ids.empty() ? prompt.text.substr(5)
                              : context_.model.detokenize(prompt.ids);  // without <bos>
  }

  // The older shape: parallel lists.
  static Json logprobs(const Reply& reply) {
    Json tokens = Json::array(), values = Json::array(), top = Json::array(), offsets = Json::array();
    int64_t offset = 0;
    for (const auto& token : reply.logprobs) {
      if (!token.in_answer) continue;
      tokens.push_back(token.chosen.bytes);
      values.push_back(token.chosen.logprob);
      Json others = Json::object();
      for (const auto& other : token.top) others[other.bytes] = other.logprob;
      top.push_back(std::move(others));
      offsets.push_back(offset);
      offset += static_cast<int64_t>(token.chosen.bytes.size());
    }
    return {{"tokens", tokens}, {"token_logprobs", values}, {"top_logprobs", top}, {"text_offset", offsets}};
  }

  void send(int answer, const std::string& text, const std::string& reason) {
    if (static_cast<size_t>(answer) >= echoed_.size()) echoed_.resize(static_cast<size_t>(answer) + 1);
    std::string all = echoed_[static_cast<size_t>(answer)] ? text : prompt_text(answer) + text;
    echoed_[static_cast<size_t>(answer)] = true;
    Json chunk = head();
    Json choice = {
        {"text", std::move(all)}, {"index", answer}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    if (!reason.empty()) choice["finish_reason"] = reason;
    chunk["choices"] = Json::array({std::move(choice)});
    http_.write(sse(chunk));
  }

  const GenerateRequest& request_;
  HttpReply& http_;
  const ApiContext& context_;
  const std::string id_;
  const int64_t created_;
  std::vector<bool> echoed_;
  Json choices_ = Json::array();
  Totals totals_;
};

std::unique_ptr<ReplyWriter> writer(const WriterParts& parts) {
  return std::make_unique<CompletionsWriter>(parts);
}

}  // namespace

const Api kOpenAiCompletions = {"completions", "/v1/completions", parse_completion, writer, openai_error};

}  // namespace tessera::server
