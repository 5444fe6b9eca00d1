// Listening, and the thread that owns the connections.
#include "server/http.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "server/http_connection.h"

namespace tessera::server {

using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

constexpr int kAcceptRetryMs = 200;

std::unique_ptr<asio::ssl::context> make_tls(const HttpOptions& options) {
  if (options.tls_cert_path.empty() && options.tls_key_path.empty()) return nullptr;
  auto tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code failed;
  tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                   asio::ssl::context::no_tlsv1_1);
  tls->use_certificate_chain_file(options.tls_cert_path, failed);
  if (failed) {
    throw_error(ErrorKind::kBadRequest, "{}: not a certificate chain in PEM: {}", options.tls_cert_path,
                failed.message());
  }
  tls->use_private_key_file(options.tls_key_path, asio::ssl::context::pem, failed);
  if (failed) {
    throw_error(ErrorKind::kBadRequest, "{}: not the PEM private key of {}: {}", options.tls_key_path,
                options.tls_cert_path, failed.message());
  }
  return tls;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpOptions& options, Gate gate, Decorate decorate, Handler handler)
      : core(options), acceptor(core.io), retry(core.io), work(core.io.get_executor()) {
    core.gate = std::move(gate);
    core.decorate = std::move(decorate);
    core.handler = std::move(handler);
    core.tls = make_tls(options);
    listen();
    thread = std::thread([this] { core.io.run(); });
    asio::post(core.io, [this] { accept(); });
  }

  ~Impl() { stop(); }

  void listen() {
    const HttpOptions& o = core.options;
    const auto fail = [&](const error_code& why) {
      throw_error(ErrorKind::kIo, "cannot listen on {}:{}: {}; choose another --host or --port", o.host,
                  o.port, why.message());
    };
    error_code failed;
    const auto found = tcp::resolver(core.io).resolve(
        o.host, std::to_string(o.port), tcp::resolver::passive | tcp::resolver::numeric_service, failed);
    if (failed || found.empty()) fail(failed);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol(), failed);
    if (!failed) acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
    if (!failed) acceptor.bind(endpoint, failed);
    if (!failed) acceptor.listen(asio::socket_base::max_listen_connections, failed);
    if (failed) fail(failed);
    port = acceptor.local_endpoint().port();
  }

  void accept() {
    acceptor.async_accept([this](error_code failed, tcp::socket socket) {
      if (!acceptor.is_open()) return;
      if (failed) {  // out of file descriptors, most likely
        make_room();
        retry.expires_after(std::chrono::milliseconds(kAcceptRetryMs));
        retry.async_wait([this](error_code cancelled) {
          if (!cancelled && acceptor.is_open()) accept();
        });
        return;
      }
      if (static_cast<int>(core.open.size()) >= core.options.max_connections) make_room();
      if (static_cast<int>(core.open.size()) < core.options.max_connections) {
        make_connection(core, std::move(socket))->start();
      }
      accept();
    });
  }

  void make_room() {
    if (!core.waiting.empty()) core.waiting.front()->close_now();
  }

  void drain() {
    if (core.draining.exchange(true)) return;
    asio::post(core.io, [this] {
      error_code ignored;
      acceptor.close(ignored);
      retry.cancel();
      while (!core.waiting.empty()) core.waiting.front()->close_now();
    });
  }

  void stop() {
    if (!thread.joinable()) return;
    drain();
    asio::post(core.io, [this] {
      while (!core.open.empty()) (*core.open.begin())->close_now();
    });
    core.pool.stop();
    // Handlers may have posted; a connection that was accepted meanwhile is closed, too.
    asio::post(core.io, [this] {
      while (!core.open.empty()) (*core.open.begin())->close_now();
      work.reset();
    });
    thread.join();
  }

  HttpCore core;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::thread thread;
  int port = 0;
};

HttpServer::HttpServer(const HttpOptions& options, Gate gate, Decorate decorate, Handler handler)
    : impl_(std::make_unique<Impl>(options, std::move(gate), std::move(decorate), std::move(handler))) {}
HttpServer::~HttpServer() = default;

int HttpServer::port() const {
  return impl_->port;
}

std::string HttpServer::address() const {
  const HttpOptions& o = impl_->core.options;
  const bool v6 = o.host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", impl_->core.tls ? "https" : "http", v6 ? "[" : "", o.host,
                     v6 ? "]" : "", impl_->port);
}

void HttpServer::drain() {
  impl_->drain();
}

bool HttpServer::wait_idle(int timeout_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (impl_->core.running > 0) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void HttpServer::stop() {
  impl_->stop();
}

HttpCounts HttpServer::counts() const {
  return {impl_->core.connections, impl_->core.pool.busy()};
}

}  // namespace tessera::server
