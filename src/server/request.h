#pragma once
// What every API's request becomes, whatever its shape was. One pipeline carries it out (service.cc).
#include <string>
#include <vector>

#include "server/json.h"
#include "tessera/tessera.h"

namespace tessera::server {

/// An image, sound or video as a request names it: not yet fetched or decoded.
struct MediaInput {
  MediaKind kind = MediaKind::kImage;
  std::string source;         // a data: URI, Base64, or an http(s): or file: address
  int soft_token_budget = 0;  // 0: the model's default
  std::string place;          // "messages[0].content[1]", for errors
};

/// A prompt that is not a chat: text (control tokens are parsed, <bos> comes before it) or ids as they are.
struct RawPrompt {
  std::string text;
  std::vector<int32_t> ids;
};

struct GenerateRequest {
  Json chat;                      // as render_chat takes it; null when `raw` is used
  std::vector<MediaInput> media;  // in the order of the chat's placeholders
  std::vector<RawPrompt> raw;     // one answer each
  GenerateOptions options;
  int choices = 1;  // answers to each prompt
  bool stream = false;

  // For the writers.
  std::string model;               // as the client named it; "": the server's name
  bool include_usage = false;      // OpenAI: a chunk with usage at the end
  bool return_progress = false;    // prefill progress as events
  bool timings_per_token = false;  // timings in every chunk, not in the last alone
  bool include_thought = true;     // the thought is told to the client
  bool echo = false;               // completions: the prompt goes before the answer
  Json repeated = Json::object();  // fields of the request that the answer repeats (responses)
};

/// Collects one message's parts and appends it to request.chat["messages"]. Sound goes after the other parts:
/// the model is trained on it (docs/spec/tokenizer.md §6); before the text it answers the recording instead.
class TurnBuilder {
 public:
  TurnBuilder(GenerateRequest& request, std::string role);
  void text(std::string text);
  void media(MediaInput input);
  Json& fields() { return message_; }  // tool_calls, tool_call_id, reasoning …
  bool empty() const { return parts_.empty(); }
  void finish();

 private:
  struct Part {
    std::string text;
    int media = -1;  // index into inputs_
  };
  GenerateRequest& request_;
  Json message_;
  std::vector<Part> parts_;
  std::vector<MediaInput> inputs_;
};

// What several APIs have in common. Everything throws ApiError(400) naming the place.

struct ParseDefaults {
  Sampling sampling;          // of the model
  bool thinking = false;      // when the request does not say
  int reasoning_budget = -1;  // tokens
  int max_tokens = 0;         // when the request does not say; 0: no limit
};

/// temperature, top_p, top_k, min_p, penalties, seed, stop, max tokens under every name that an API uses.
void read_sampling(const Fields& fields, const ParseDefaults& defaults, GenerateOptions& options);
/// A content part as OpenAI, vLLM, llama.cpp and the Responses API write it.
void read_part(const Json& part, const std::string& place, TurnBuilder& turn, int default_budget);
/// A string or a list of parts.
void read_content(const Json* content, const std::string& place, TurnBuilder& turn, int default_budget);
/// 70 … 1120 for low, medium, high; 0 for auto.
int detail_budget(const std::string& detail, const std::string& place);
/// mm_processor_kwargs.max_soft_tokens; 0 when absent.
int request_budget(const Fields& fields);
/// Adds a tool to the chat and to the constraint.
void add_tool(GenerateRequest& request, const std::string& name, const std::string& description,
              const Json* parameters, const std::string& place);
/// "none", "auto", "required" or "any", or the named tool.
void choose_tool(GenerateRequest& request, const std::string& choice, const std::string& name,
                 const std::string& place);
/// Thinking on or off from "none" … "high".
bool effort_thinks(const std::string& effort, const std::string& place, GenerateOptions& options);
/// {"type": "text" | "json_object" | "json_schema", …}
void read_response_format(const Json& format, const std::string& place, GenerateOptions& options);
/// The reply goes on from the conversation's last message, which is the assistant's (render_chat says what that
/// must be). Throws ApiError(400) with a format: the text so far is not part of what it binds.
void continue_last(GenerateRequest& request);
/// That, where the last message is the assistant's and has no calls: how Anthropic and Ollama begin a reply for
/// the model.
void continue_prefill(GenerateRequest& request);
/// An assistant's call, arguments as an object or a string that holds one.
Json tool_call_json(const std::string& id, const std::string& name, const Json* arguments,
                    const std::string& place);

}  // namespace tessera::server
