// POST /v1/responses: the answer as a list of items, whole or told event by event.
#include "server/openai.h"
#include "server/responses.h"

namespace tessera::server {
namespace {

class ResponsesWriter final : public ReplyWriter {
 public:
  explicit ResponsesWriter(const WriterParts& parts)
      : request_(parts.request), http_(parts.http), context_(parts.context) {
    if (request_.stream) http_.stream(kEventStream, kSseComment);
  }

  // Answers that are not streamed go the same way, unheard.
  void event(int, const Event& event) override {
    begin();
    switch (event.kind) {
      case EventKind::kPrefill:
        break;
      case EventKind::kThought:
        open(Kind::kReasoning);
        text_ += event.text;
        send("response.reasoning_text.delta",
             {{"item_id", item_id_}, {"output_index", index()}, {"content_index", 0}, {"delta", event.text}});
        break;
      case EventKind::kText:
        text(event.text);
        break;
      case EventKind::kToolCall:
        is_call(event.tool_call) ? call(event.tool_call) : text(event.tool_call.arguments_json);
        break;
    }
  }

  void finish(int, const Reply& reply) override {
    if (!request_.stream) {
      if (!reply.thought.empty()) event(0, {EventKind::kThought, reply.thought, {}, 0, 0});
      if (!reply.text.empty()) event(0, {EventKind::kText, reply.text, {}, 0, 0});
      for (const auto& tool_call : reply.tool_calls) event(0, {EventKind::kToolCall, {}, tool_call, 0, 0});
    }
    begin();
    close();
    totals_.add(reply.usage,
                reply.thought.empty() ? 0 : static_cast<int>(context_.model.tokenize(reply.thought).size()),
                false);
    const bool cut = openai_finish(reply) == "length";
    status_ = cut ? "incomplete" : "completed";
    response_ = response();
    if (cut) response_["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response_["usage"] = {{"input_tokens", totals_.prompt_tokens},
                          {"input_tokens_details", {{"cached_tokens", totals_.cached_tokens}}},
                          {"output_tokens", totals_.completion_tokens},
                          {"output_tokens_details", {{"reasoning_tokens", totals_.thought_tokens}}},
                          {"total_tokens", totals_.prompt_tokens + totals_.completion_tokens}};
    if (const std::string warning = warning_of(reply); !warning.empty()) response_["warning"] = warning;
  }

  void end() override {
    if (request_.stream) {
      send("response." + status_, {{"response", response_}});
    } else {
      http_.send({200, "application/json", dump(response_)});
    }
  }

  void fail(const ApiError& error) override {
    begin();
    status_ = "failed";
    Json failed = response();
    failed["error"] = {{"code", error.type}, {"message", error.what()}};
    send("response.failed", {{"response", std::move(failed)}});
  }

 private:
  enum class Kind { kNone, kReasoning, kMessage };

  size_t index() const { return output_.size(); }

  Json response() const {
    Json json = {{"id", id_},
                 {"object", "response"},
                 {"created_at", created_},
                 {"status", status_},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"model", request_.model.empty() ? context_.model_name : request_.model},
                 {"output", output_},
                 {"previous_response_id", nullptr},
                 {"store", false},
                 {"truncation", "disabled"},
                 {"usage", nullptr}};
    json.update(request_.repeated);
    return json;
  }

  void send(const std::string& type, Json fields) {
    if (!request_.stream) return;
    Json json = {{"type", type}, {"sequence_number", sequence_++}};
    json.update(fields);
    http_.write("event: " + type + "\ndata: " + dump(json) + "\n\n");
  }

  void begin() {
    if (begun_) return;
    begun_ = true;
    send("response.created", {{"response", response()}});
    send("response.in_progress", {{"response", response()}});
  }

  Json item(const char* status) const {
    if (kind_ == Kind::kReasoning) {
      Json content = Json::array();
      if (!text_.empty()) content.push_back({{"type", "reasoning_text"}, {"text", text_}});
      return {{"id", item_id_},
              {"type", "reasoning"},
              {"summary", Json::array()},
              {"content", std::move(content)},
              {"status", status}};
    }
    Json content = Json::array();
    if (!text_.empty()) content.push_back(output_text());
    return {{"id", item_id_},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  Json output_text() const {
    return {{"type", "output_text"},
            {"text", text_},
            {"annotations", Json::array()},
            {"logprobs", Json::array()}};
  }

  void open(Kind kind) {
    if (kind_ == kind) return;
    close();
    kind_ = kind;
    item_id_ = random_id(kind == Kind::kReasoning ? "rs_" : "msg_");
    send("response.output_item.added", {{"output_index", index()}, {"item", item("in_progress")}});
    if (kind == Kind::kMessage) {
      send("response.content_part.added",
           {{"item_id", item_id_}, {"output_index", index()}, {"content_index", 0}, {"part", output_text()}});
    }
  }

  void close() {
    if (kind_ == Kind::kNone) return;
    const Json place = {{"item_id", item_id_}, {"output_index", index()}, {"content_index", 0}};
    Json done = place;
    done["text"] = text_;
    if (kind_ == Kind::kReasoning) {
      send("response.reasoning_text.done", done);
    } else {
      done["logprobs"] = Json::array();
      send("response.output_text.done", done);
      Json part = place;
      part["part"] = output_text();
      send("response.content_part.done", part);
    }
    Json whole = item("completed");
    send("response.output_item.done", {{"output_index", index()}, {"item", whole}});
    output_.push_back(std::move(whole));
    kind_ = Kind::kNone;
    text_.clear();
  }

  void text(const std::string& text) {
    open(Kind::kMessage);
    text_ += text;
    send("response.output_text.delta", {{"item_id", item_id_},
                                        {"output_index", index()},
                                        {"content_index", 0},
                                        {"delta", text},
                                        {"logprobs", Json::array()}});
  }

  void call(const ToolCall& call) {
    close();
    const std::string id = random_id("fc_");
    Json item = {{"id", id},
                 {"type", "function_call"},
                 {"status", "in_progress"},
                 {"call_id", random_id("call_")},
                 {"name", call.name},
                 {"arguments", ""}};
    send("response.output_item.added", {{"output_index", index()}, {"item", item}});
    const Json place = {{"item_id", id}, {"output_index", index()}};
    Json delta = place, done = place;
    delta["delta"] = call.arguments_json;
    send("response.function_call_arguments.delta", delta);
    done["name"] = call.name;
    done["arguments"] = call.arguments_json;
    send("response.function_call_arguments.done", done);
    item["arguments"] = call.arguments_json;
    item["status"] = "completed";
    send("response.output_item.done", {{"output_index", index()}, {"item", item}});
    output_.push_back(std::move(item));
  }

  const GenerateRequest& request_;
  HttpReply& http_;
  const ApiContext& context_;
  const std::string id_ = random_id("resp_");
  const int64_t created_ = unix_seconds();
  std::string status_ = "in_progress";
  bool begun_ = false;
  int64_t sequence_ = 0;
  Kind kind_ = Kind::kNone;
  std::string item_id_, text_;
  Json output_ = Json::array(), response_;
  Totals totals_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_responses_writer(const WriterParts& parts) {
  return std::make_unique<ResponsesWriter>(parts);
}

}  // namespace tessera::server
