#pragma once
// Carries requests out: routes, admission, the pipeline from a body to a written answer.
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>

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
  /// One request's place among those that run or wait: in active_ while it lives. Throws ApiError(503) when
  /// there is none left.
  class Turn {
   public:
    explicit Turn(Service& service);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    void set(Conversation* conversation);  // what a shutdown cancels; null: nothing just now

   private:
    Service& service_;
    std::list<Conversation*>::iterator at_;
  };
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
  /// `writer` null: nothing is streamed.
  Reply answer(Conversation& conversation, const GenerateRequest& request, HttpReply& reply,
               ReplyWriter* writer, int number, Turn& turn);
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
  std::list<Conversation*> active_;  // null where a request is not generating
  std::atomic<bool> stopping_{false};
};

}  // namespace tessera::server
