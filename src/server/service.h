#pragma once
// Carries requests out: routes, admission, the pipeline from a body to a written answer.
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "server/api.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/server.h"

namespace tessera::server {

class Service {
 public:
  Service(const ServerOptions& options, Log& log);

  void set_model(std::shared_ptr<Model> model);
  /// Any thread of the HTTP server's pool. Never throws.
  void handle(const HttpRequest& request, HttpReply& reply);
  /// Answers what needs no model and no body; nullopt: the request may go on.
  std::optional<HttpAnswer> gate(const HttpRequest& request) const;
  Headers decorate(const HttpRequest& request) const;
  /// Cancels what runs; from now on an answer that was cut is an error.
  void cancel_all();
  void set_counts(std::function<HttpCounts()> counts);

 private:
  /// A request that generates, or waits for that.
  struct Active {
    int places = 1;                            // answers that are written at once
    std::vector<Conversation*> conversations;  // that generate just now
  };
  /// One request's place in active_, while it lives. Throws ApiError(503) when there is none left.
  class Turn {
   public:
    explicit Turn(Service& service);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    void widen(int places);                              // throws as the constructor
    void set(std::vector<Conversation*> conversations);  // what a shutdown cancels

   private:
    Service& service_;
    std::list<Active>::iterator at_;
  };
  struct Answers;
  struct Route {
    const char* method;
    const char* path;
    HttpAnswer (Service::*answer)(const HttpRequest&);
  };
  static const std::vector<Route>& routes();

  void answer_route(const HttpRequest& request, HttpReply& reply);
  struct Work {  // the writer refers to the others
    GenerateRequest request;
    std::optional<ApiContext> context;
    std::unique_ptr<ReplyWriter> writer;
  };
  void generate(const Api& api, const HttpRequest& http, HttpReply& reply);
  void run(const Api& api, const HttpRequest& http, HttpReply& reply, Turn& turn, Work& work);
  void transcribe(const HttpRequest& http, HttpReply& reply, bool translate);
  static void check_context(const Conversation& conversation, const Model& model);  // throws ApiError
  /// All generate at once, the first of them as answer `number`; the others once it has computed the prompt,
  /// which they take over. `writer` null: nothing is streamed.
  std::vector<Reply> answer(std::span<const std::unique_ptr<Conversation>> conversations,
                            const GenerateRequest& request, HttpReply& reply, ReplyWriter* writer, int number,
                            Turn& turn);
  void answer_one(Conversation& conversation, const GenerateRequest& request, HttpReply& reply,
                  ReplyWriter* writer, int number, size_t index, Answers& answers);
  void check_room(int places);  // mutex_ held; throws ApiError(503)
  Prompt prompt_of(const GenerateRequest& request) const;
  ApiContext context() const;
  std::shared_ptr<Model> model() const;  // throws ApiError(503) while it loads
  void count(const Reply& reply);

  HttpAnswer health(const HttpRequest&);
  HttpAnswer root(const HttpRequest&);
  HttpAnswer models(const HttpRequest&);
  HttpAnswer props(const HttpRequest&);
  HttpAnswer slots(const HttpRequest&);
  HttpAnswer metrics(const HttpRequest&);
  HttpAnswer logs(const HttpRequest&);
  HttpAnswer tokenize(const HttpRequest&);
  HttpAnswer detokenize(const HttpRequest&);
  HttpAnswer apply_template(const HttpRequest&);
  HttpAnswer count_tokens(const HttpRequest&);
  HttpAnswer ollama_tags(const HttpRequest&);
  HttpAnswer ollama_show(const HttpRequest&);
  HttpAnswer ollama_version(const HttpRequest&);
  HttpAnswer ollama_ps(const HttpRequest&);

  const ServerOptions options_;
  Log& log_;
  const int64_t started_s_;
  Metrics metrics_;
  std::function<HttpCounts()> counts_;
  mutable std::mutex mutex_;
  std::shared_ptr<Model> model_;
  std::list<Active> active_;
  std::atomic<bool> stopping_{false};
};

}  // namespace tessera::server
