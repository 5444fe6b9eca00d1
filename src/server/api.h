#pragma once
// The APIs: each is a table entry that reads a body into a GenerateRequest and writes what comes of it.
#include <memory>
#include <span>
#include <string>

#include "server/api_error.h"
#include "server/http.h"
#include "server/model.h"
#include "server/request.h"

namespace tessera::server {

struct ApiContext {
  Model& model;
  std::string model_name;
  int64_t created_s = 0;  // when the server started, for lists of models
  ParseDefaults defaults;
};

/// Writes the answers of one request. The service calls event() only for streams; finish() once for each
/// answer, in order; then end(), or fail() at any time.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;
  virtual void event(int answer, const Event& event) = 0;
  virtual void finish(int answer, const Reply& reply) = 0;
  virtual void end() = 0;
  /// Tells the error inside a stream that has begun.
  virtual void fail(const ApiError& error) = 0;
};

struct WriterParts {
  const GenerateRequest& request;
  HttpReply& http;
  const ApiContext& context;
  int prompt_tokens = 0;  // of the first prompt
};

struct Api {
  const char* name;  // in logs and metrics
  const char* path;
  GenerateRequest (*parse)(Json& body, const ApiContext& context);
  std::unique_ptr<ReplyWriter> (*writer)(const WriterParts& parts);
  HttpAnswer (*error)(const ApiError& error);
};

extern const Api kOpenAiChat, kOpenAiCompletions, kOpenAiResponses, kAnthropicMessages, kOllamaChat,
    kOllamaGenerate;
std::span<const Api* const> generating_apis();

HttpAnswer openai_error(const ApiError& error);
HttpAnswer anthropic_error(const ApiError& error);
HttpAnswer ollama_error(const ApiError& error);
/// In the shape of the API that the path belongs to.
HttpAnswer error_for_path(std::string_view path, const ApiError& error);

/// The Anthropic request without what only generating needs, for count_tokens.
GenerateRequest parse_anthropic(Json& body, const ApiContext& context);

}  // namespace tessera::server
