// POST /api/chat and /api/generate: the answer, as one object or a line for each piece.
#include <chrono>

#include "server/ollama.h"
#include "server/reply_parts.h"

namespace tessera::server {
namespace {

class OllamaWriter final : public ReplyWriter {
 public:
  OllamaWriter(const WriterParts& parts, bool chat)
      : request_(parts.request), http_(parts.http), context_(parts.context), chat_(chat) {
    // No keep-alive: NDJSON has no comments.
    if (request_.stream) http_.stream("application/x-ndjson", "");
  }

  void event(int, const Event& event) override {
    switch (event.kind) {
      case EventKind::kPrefill:
        break;
      case EventKind::kThought:
        line(piece("", event.text, {}));
        break;
      case EventKind::kText:
        line(piece(event.text, "", {}));
        break;
      case EventKind::kToolCall:
        if (!chat_ || !is_call(event.tool_call)) return line(piece(event.tool_call.arguments_json, "", {}));
        line(piece("", "", Json::array({call_json(event.tool_call)})));
        break;
    }
  }

  void finish(int, const Reply& reply) override {
    Json calls = Json::array();
    std::string text, thought;
    if (!request_.stream) {
      text = reply.text + unread_calls(reply);
      thought = reply.thought;
      for (const auto& call : reply.tool_calls) {
        if (is_call(call)) calls.push_back(call_json(call));
      }
    }
    last_ = piece(text, thought, std::move(calls));
    last_["done"] = true;
    last_["done_reason"] = openai_finish(reply) == "length" ? "length" : "stop";
    const auto ns = [](double ms) { return static_cast<int64_t>(ms * 1e6); };
    last_["total_duration"] =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - started_)
            .count();
    last_["load_duration"] = 0;
    last_["prompt_eval_count"] = reply.usage.prompt_tokens;
    last_["prompt_eval_duration"] = ns(reply.usage.prefill_ms);
    last_["eval_count"] = reply.usage.completion_tokens;
    last_["eval_duration"] = ns(reply.usage.generate_ms);
    last_["prompt_cached_count"] = reply.usage.cached_tokens;
    if (const std::string warning = warning_of(reply); !warning.empty()) last_["warning"] = warning;
  }

  void end() override {
    if (request_.stream) {
      line(last_);
    } else {
      http_.send({200, "application/json; charset=utf-8", dump(last_)});
    }
  }

  void fail(const ApiError& error) override { line({{"error", error.what()}}); }

 private:
  Json piece(const std::string& text, const std::string& thought, Json calls) const {
    Json out = {{"model", request_.model.empty() ? context_.model_name : request_.model},
                {"created_at", iso_time()}};
    if (chat_) {
      Json message = {{"role", "assistant"}, {"content", text}};
      if (!thought.empty()) message["thinking"] = thought;
      if (!calls.empty()) message["tool_calls"] = std::move(calls);
      out["message"] = std::move(message);
    } else {
      out["response"] = text;
      if (!thought.empty()) out["thinking"] = thought;
    }
    out["done"] = false;
    return out;
  }

  static Json call_json(const ToolCall& call) {
    return {
        {"function", {{"name", call.name}, {"arguments", Json::parse(call.arguments_json, nullptr, false)}}}};
  }

  void line(const Json& json) { http_.write(dump(json) + "\n"); }

  const GenerateRequest& request_;
  HttpReply& http_;
  const ApiContext& context_;
  const bool chat_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  Json last_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_ollama_writer(const WriterParts& parts, bool chat) {
  return std::make_unique<OllamaWriter>(parts, chat);
}

}  // namespace tessera::server
