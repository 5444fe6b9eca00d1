#pragma once
// `tessera serve`: HTTP in, answers of one model out. Sees the engine only through the public header.
#include <memory>
#include <string>

#include "server/http.h"
#include "server/log.h"
#include "server/media_source.h"
#include "server/model.h"
#include "server/security.h"

namespace tessera::server {

struct ServerOptions {
  HttpOptions http;
  AccessPolicy access;
  MediaPolicy media;
  std::string model_name;      // "": the last part of the model's path
  std::string version;         // of the program
  bool thinking = false;       // when a request does not say
  int reasoning_budget = -1;   // tokens, when a request does not say; -1: no limit
  int max_tokens = 0;          // when a request does not say; 0: no limit
  int parallel = 4;            // requests that generate at once
  int max_queue = 64;          // … and that wait; over it 503
  int request_timeout_ms = 0;  // of one answer; 0: none
  bool log_prompts = false;
};

class Server {
 public:
  /// Listens at once; until set_model() everything but /health is 503. Throws Error(kIo), Error(kBadRequest).
  Server(ServerOptions options, Log& log);
  ~Server();
  void set_model(std::shared_ptr<Model> model);
  int port() const;
  std::string address() const;
  /// No new requests; those that run have `grace_ms` to end, then they are cancelled and their clients told.
  void shutdown(int grace_ms);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::server
