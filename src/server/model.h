#pragma once
// What the server needs of a model. The engine is one (engine_model.cc); tests have one that follows a
// script, so that every API's writer can be held against every kind of reply.
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/request.h"
#include "tessera/tessera.h"

namespace tessera::server {

struct Prompt {
  std::string rendered;  // of a chat, see render_chat; with `media` in the order of placeholders
  std::vector<Media> media;
  RawPrompt raw;  // when `rendered` is empty
};

/// One prompt and its answers. Not thread-safe but for cancel().
class Conversation {
 public:
  virtual ~Conversation() = default;
  virtual int prompt_tokens() const = 0;
  virtual Reply generate(const GenerateOptions& options,
                         const std::function<void(const Event&)>& on_event) = 0;
  virtual void cancel() = 0;
};

/// Any thread.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  virtual int64_t context_tokens() const = 0;
  virtual int64_t kv_bytes() const = 0;  // of all slots
  virtual std::string backend() const = 0;
  virtual EngineStatus status() const = 0;
  /// Throws Error, ApiError.
  virtual std::unique_ptr<Conversation> open(const Prompt& prompt) = 0;
  virtual std::vector<int32_t> tokenize(std::string_view text) const = 0;
  virtual std::string detokenize(std::span<const int32_t> ids) const = 0;
};

std::shared_ptr<Model> make_engine_model(std::shared_ptr<Engine> engine);

}  // namespace tessera::server
