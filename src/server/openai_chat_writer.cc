// POST /v1/chat/completions: the answer, whole or as chunks.
#include <chrono>

#include "server/openai.h"

namespace tessera::server {
namespace {

class ChatWriter final : public ReplyWriter {
 public:
  explicit ChatWriter(const WriterParts& parts)
      : request_(parts.request),
        http_(parts.http),
        context_(parts.context),
        prompt_tokens_(parts.prompt_tokens),
        id_(random_id("chatcmpl-")),
        created_(unix_seconds()),
        begun_(static_cast<size_t>(request_.choices)),
        calls_(begun_.size()) {
    if (request_.stream) http_.stream(kEventStream, kSseComment);
  }

  void event(int answer, const Event& event) override {
    begin(answer);
    switch (event.kind) {
      case EventKind::kPrefill:
        if (request_.return_progress) progress(answer, event);
        break;
      case EventKind::kThought:
        // `reasoning`: vLLM's name for the same.
        if (request_.include_thought)
          send(answer, event, {{"reasoning_content", event.text}, {"reasoning", event.text}});
        break;
      case EventKind::kText:
        send(answer, event, {{"content", event.text}});
        break;
      case EventKind::kToolCall:
        if (is_call(event.tool_call)) {
          Json call = {{"index", calls_[static_cast<size_t>(answer)]++}};
          call.update(call_json(event.tool_call));
          send(answer, event, {{"tool_calls", Json::array({std::move(call)})}});
        } else {
          send(answer, event, {{"content", event.tool_call.arguments_json}});
        }
        break;
    }
  }

  void finish(int answer, const Reply& reply) override {
    const auto thought_tokens =
        reply.thought.empty() ? 0 : static_cast<int>(context_.model.tokenize(reply.thought).size());
    totals_.add(reply.usage, thought_tokens, answer > 0);
    const std::string warning = warning_of(reply);
    if (request_.stream) {
      begin(answer);
      Json chunk = chunk_of(answer, Json::object(), openai_finish(reply));
      if (!warning.empty()) chunk["warning"] = warning;
      if (answer + 1 == request_.choices) chunk["timings"] = timings(totals_);
      http_.write(sse(chunk));
      return;
    }
    Json message = {{"role", "assistant"}, {"content", reply.text + unread_calls(reply)}};
    if (!reply.thought.empty() && request_.include_thought) {
      message["reasoning_content"] = reply.thought;
      message["reasoning"] = reply.thought;
    }
    if (readable_calls(reply) > 0) {
      if (reply.text.empty()) message["content"] = nullptr;
      Json& calls = message["tool_calls"] = Json::array();
      for (const auto& call : reply.tool_calls) {
        if (is_call(call)) calls.push_back(call_json(call));
      }
    }
    Json choice = {{"index", answer}, {"message", std::move(message)}, {"logprobs", nullptr}};
    if (request_.options.top_logprobs >= 0) choice["logprobs"] = openai_logprobs(reply.logprobs, drafts());
    choice["finish_reason"] = openai_finish(reply);
    if (!warning.empty()) choice["warning"] = warning;
    choices_.push_back(std::move(choice));
  }

  void end() override {
    if (!request_.stream) {
      Json body = head("chat.completion");
      body["choices"] = std::move(choices_);
      body["usage"] = openai_usage(totals_);
      body["timings"] = timings(totals_);
      http_.send({200, "application/json", dump(body)});
      return;
    }
    if (request_.include_usage) {
      Json chunk = head("chat.completion.chunk");
      chunk["choices"] = Json::array();
      chunk["usage"] = openai_usage(totals_);
      chunk["timings"] = timings(totals_);
      http_.write(sse(chunk));
    }
    http_.write("data: [DONE]\n\n");
  }

  void fail(const ApiError& error) override { http_.write(sse(openai_error_json(error))); }

 private:
  Json head(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", request_.model.empty() ? context_.model_name : request_.model},
            {"system_fingerprint", "tessera"}};
  }

  Json chunk_of(int answer, Json delta, const std::string& finish_reason) const {
    Json chunk = head("chat.completion.chunk");
    Json choice = {
        {"index", answer}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    if (!finish_reason.empty()) choice["finish_reason"] = finish_reason;
    chunk["choices"] = Json::array({std::move(choice)});
    if (request_.include_usage) chunk["usage"] = nullptr;
    return chunk;
  }

  void send(int answer, const Event& event, Json delta) {
    Json chunk = chunk_of(answer, std::move(delta), "");
    if (request_.timings_per_token) {
      Totals so_far;  // of this answer: others may be on their way
      so_far.add(event.usage, 0, false);
      chunk["timings"] = timings(so_far);
    }
    if (!event.logprobs.empty()) chunk["choices"][0]["logprobs"] = openai_logprobs(event.logprobs, drafts());
    http_.write(sse(chunk));
  }

  bool drafts() const { return !context_.model.info().drafter.empty(); }

  void begin(int answer) {
    if (begun_[static_cast<size_t>(answer)]) return;
    begun_[static_cast<size_t>(answer)] = true;
    http_.write(sse(chunk_of(answer, {{"role", "assistant"}, {"content", nullptr}}, "")));
  }

  void progress(int answer, const Event& event) {
    Json chunk = chunk_of(answer, Json::object(), "");
    const auto ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started_).count();
    const int cached = std::max(0, prompt_tokens_ - event.prefill_total);
    chunk["prompt_progress"] = {{"total", event.prefill_total + cached},
                                {"cache", cached},
                                {"processed", event.prefill_done + cached},
                                {"time_ms", static_cast<int64_t>(ms)}};
    http_.write(sse(chunk));
  }

  static Json call_json(const ToolCall& call) {
    return {{"id", random_id("call_")},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", call.arguments_json}}}};
  }

  const GenerateRequest& request_;
  HttpReply& http_;
  const ApiContext& context_;
  const int prompt_tokens_;
  const std::string id_;
  const int64_t created_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::vector<bool> begun_;
  std::vector<int> calls_;  // so far, of each answer
  Json choices_ = Json::array();
  Totals totals_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_openai_chat_writer(const WriterParts& parts) {
  return std::make_unique<ChatWriter>(parts);
}

}  // namespace tessera::server
