#include "server/server.h"

#include "server/service.h"

namespace tessera::server {
namespace {

constexpr int kCancelledMs = 5000;  // for the answers that were cut to be told and sent
constexpr int kSpareHandlers = 8;   // for what does not generate while everything else does

HttpOptions with_handlers(const ServerOptions& options) {
  HttpOptions http = options.http;
  http.max_handlers = options.parallel + options.max_queue + kSpareHandlers;
  return http;
}

}  // namespace

class Server::Impl {
 public:
  Impl(const ServerOptions& options, Log& log)
      : service(options, log),
        http(
            with_handlers(options), [this](const HttpRequest& request) { return service.gate(request); },
            [this](const HttpRequest& request) { return service.decorate(request); },
            [this](const HttpRequest& request, HttpReply& reply) { service.handle(request, reply); }) {}

  Service service;
  HttpServer http;
};

Server::Server(ServerOptions options, Log& log) : impl_(std::make_unique<Impl>(options, log)) {
  impl_->service.set_counts([this] { return impl_->http.counts(); });
}

Server::~Server() {
  shutdown(0);
}

void Server::set_model(std::shared_ptr<Model> model) {
  impl_->service.set_model(std::move(model));
}

int Server::port() const {
  return impl_->http.port();
}

std::string Server::address() const {
  return impl_->http.address();
}

void Server::shutdown(int grace_ms) {
  impl_->http.drain();
  impl_->http.wait_idle(grace_ms);
  impl_->service.cancel_all();
  impl_->http.wait_idle(kCancelledMs);
  impl_->http.stop();
}

}  // namespace tessera::server
