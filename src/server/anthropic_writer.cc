// POST /v1/messages: the answer, whole or as named events, one content block after the other.
#include "server/anthropic.h"
#include "server/openai.h"
#include "server/reply_parts.h"

namespace tessera::server {
namespace {

constexpr const char* kPing = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

class MessagesWriter final : public ReplyWriter {
 public:
  explicit MessagesWriter(const WriterParts& parts)
      : request_(parts.request),
        http_(parts.http),
        context_(parts.context),
        prompt_tokens_(parts.prompt_tokens),
        id_(random_id("msg_")) {
    if (request_.stream) http_.stream(kEventStream, kPing);
  }

  void event(int, const Event& event) override {
    begin();
    switch (event.kind) {
      case EventKind::kPrefill:
        break;
      case EventKind::kThought:
        open("thinking", {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
        delta({{"type", "thinking_delta"}, {"thinking", event.text}});
        break;
      case EventKind::kText:
        text(event.text);
        break;
      case EventKind::kToolCall:
        if (!is_call(event.tool_call)) return text(event.tool_call.arguments_json);
        open("", {{"type", "tool_use"},
                  {"id", random_id("toolu_")},
                  {"name", event.tool_call.name},
                  {"input", Json::object()}});
        delta({{"type", "input_json_delta"}, {"partial_json", event.tool_call.arguments_json}});
        break;
    }
  }

  void finish(int, const Reply& reply) override {
    totals_.add(reply.usage, 0, false);
    Json usage = usage_json();
    const std::string warning = warning_of(reply);
    if (request_.stream) {
      begin();
      close();
      Json delta = {{"type", "message_delta"},
                    {"delta", {{"stop_reason", stop_reason(reply)}, {"stop_sequence", stop_sequence(reply)}}},
                    {"usage", std::move(usage)}};
      if (!warning.empty()) delta["warning"] = warning;
      send(delta);
      send({{"type", "message_stop"}});
      return;
    }
    Json content = Json::array();
    if (!reply.thought.empty())
      content.push_back({{"type", "thinking"}, {"thinking", reply.thought}, {"signature", ""}});
    const std::string text = reply.text + unread_calls(reply);
    if (!text.empty()) content.push_back({{"type", "text"}, {"text", text}});
    for (const auto& call : reply.tool_calls) {
      if (!is_call(call)) continue;
      content.push_back({{"type", "tool_use"},
                         {"id", random_id("toolu_")},
                         {"name", call.name},
                         {"input", Json::parse(call.arguments_json, nullptr, false)}});
    }
    body_ = message(std::move(content), std::move(usage));
    body_["stop_reason"] = stop_reason(reply);
    body_["stop_sequence"] = stop_sequence(reply);
    if (!warning.empty()) body_["warning"] = warning;
  }

  void end() override {
    if (!request_.stream) http_.send({200, "application/json", dump(body_)});
  }

  void fail(const ApiError& error) override {
    http_.write("event: error\ndata: " + anthropic_error(error).body + "\n\n");
  }

 private:
  Json usage_json() const {
    return {{"input_tokens", totals_.prompt_tokens - totals_.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", totals_.cached_tokens},
            {"output_tokens", totals_.completion_tokens}};
  }

  Json message(Json content, Json usage) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", request_.model.empty() ? context_.model_name : request_.model},
            {"content", std::move(content)},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr},
            {"usage", std::move(usage)}};
  }

  static std::string stop_reason(const Reply& reply) {
    if (reply.finish == FinishReason::kStopString) return "stop_sequence";
    const std::string reason = openai_finish(reply);
    return reason == "length" ? "max_tokens" : reason == "tool_calls" ? "tool_use" : "end_turn";
  }

  static Json stop_sequence(const Reply& reply) {
    return reply.finish == FinishReason::kStopString ? Json(reply.stop_string) : Json();
  }

  void send(const Json& json) {
    http_.write("event: " + json["type"].get<std::string>() + "\ndata: " + dump(json) + "\n\n");
  }

  void begin() {
    if (begun_) return;
    begun_ = true;
    Json usage = usage_json();
    usage["input_tokens"] = prompt_tokens_;
    send({{"type", "message_start"}, {"message", message(Json::array(), std::move(usage))}});
  }

  void text(const std::string& text) {
    open("text", {{"type", "text"}, {"text", ""}});
    delta({{"type", "text_delta"}, {"text", text}});
  }

  // `kind` "": always a new block.
  void open(const std::string& kind, Json block) {
    if (open_ && !kind.empty() && kind == kind_) return;
    close();
    kind_ = kind;
    open_ = true;
    send({{"type", "content_block_start"}, {"index", index_}, {"content_block", std::move(block)}});
  }

  void close() {
    if (!open_) return;
    open_ = false;
    if (kind_ == "thinking") delta({{"type", "signature_delta"}, {"signature", ""}});
    send({{"type", "content_block_stop"}, {"index", index_++}});
  }

  void delta(Json delta) {
    send({{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  const GenerateRequest& request_;
  HttpReply& http_;
  const ApiContext& context_;
  const int prompt_tokens_;
  const std::string id_;
  bool begun_ = false, open_ = false;
  std::string kind_;
  int index_ = 0;
  Json body_;
  Totals totals_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_anthropic_writer(const WriterParts& parts) {
  return std::make_unique<MessagesWriter>(parts);
}

}  // namespace tessera::server
