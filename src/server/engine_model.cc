#include "server/model.h"

namespace tessera::server {
namespace {

class EngineConversation final : public Conversation {
 public:
  EngineConversation(std::shared_ptr<Engine> engine, const Prompt& prompt)
      : prompt_(prompt), session_(std::move(engine)) {
    set();
    tokens_ = session_.tokens();
  }

  int prompt_tokens() const override { return tokens_; }

  Reply generate(const GenerateOptions& options, const std::function<void(const Event&)>& on_event) override {
    if (used_) set();
    used_ = true;
    return session_.generate(options, on_event);
  }

  void cancel() override { session_.cancel(); }

 private:
  // Texts and ids are not appended to what an earlier answer left.
  void set() {
    if (!prompt_.rendered.empty()) {
      session_.set_prompt(prompt_.rendered, prompt_.media);
      return;
    }
    if (prompt_.raw.ids.empty()) {
      session_.set_prompt(prompt_.raw.text, prompt_.media);
      return;
    }
    session_.clear();
    session_.append_tokens(prompt_.raw.ids);
  }

  const Prompt prompt_;
  Session session_;
  int tokens_ = 0;
  bool used_ = false;
};

class EngineModel final : public Model {
 public:
  explicit EngineModel(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  const ModelInfo& info() const override { return engine_->info(); }
  int64_t context_tokens() const override { return engine_->options().context_tokens; }
  int64_t kv_bytes() const override {
    const EngineOptions& o = engine_->options();
    return o.parallel * engine_->info().kv_bytes(o.context_tokens, o.chunk_tokens, o.kv);
  }
  std::string backend() const override { return engine_->backend(); }
  EngineStatus status() const override { return engine_->status(); }
  std::unique_ptr<Conversation> open(const Prompt& prompt) override {
    return std::make_unique<EngineConversation>(engine_, prompt);
  }
  std::vector<int32_t> tokenize(std::string_view text) const override { return engine_->tokenize(text); }
  std::string detokenize(std::span<const int32_t> ids) const override { return engine_->detokenize(ids); }

 private:
  std::shared_ptr<Engine> engine_;
};

}  // namespace

std::shared_ptr<Model> make_engine_model(std::shared_ptr<Engine> engine) {
  return std::make_shared<EngineModel>(std::move(engine));
}

}  // namespace tessera::server
