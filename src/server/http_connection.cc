// Reading requests, over TCP or TLS. The only file that uses Boost.Beast, and of it only the parser.
#include "server/http_connection.h"

#include <algorithm>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <type_traits>

namespace tessera::server {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr int kLingerMs = 2000;
constexpr int64_t kSlowestBytesPerMs = 64;

std::string json_error(int status, std::string_view message) {
  // Shapes of all APIs at once would be guesswork: the path is not known to be any API's.
  return std::string("{\"error\":{\"code\":") + std::to_string(status) + ",\"message\":\"" +
         std::string(message) + "\",\"type\":\"invalid_request_error\"}}";
}

template <typename Stream>
class Connection final : public HttpConnection {
  static constexpr bool kTls = !std::is_same_v<Stream, tcp::socket>;

 public:
  template <typename... Args>
  Connection(HttpCore& core, tcp::socket socket, Args&... args)
      : HttpConnection(core),
        stream_(std::move(socket), args...),
        read_timer_(core.io),
        write_timer_(core.io) {
    error_code ignored;
    socket_().set_option(tcp::no_delay(true), ignored);
    socket_().set_option(asio::socket_base::keep_alive(true), ignored);
    const auto peer = socket_().remote_endpoint(ignored);
    if (!ignored) peer_ = peer.address().to_string();
  }

  void start() override {
    set_waiting(true);
    if constexpr (kTls) {
      deadline(read_timer_, core_.options.header_timeout_ms);
      stream_.async_handshake(asio::ssl::stream_base::server, [self = self_()](error_code failed) {
        if (failed || self->gone_) return self->close_now();
        self->read_head();
      });
    } else {
      read_head();
    }
  }

  void close_now() override {
    if (gone_) return;
    gone_ = true;
    const auto self = self_();  // the registry's erasing may be what let it go
    core_.open.erase(this);
    set_waiting(false);
    read_timer_.cancel();
    write_timer_.cancel();
    error_code ignored;
    socket_().close(ignored);
    mark_closed();
    if (running_) {
      running_ = false;
      --core_.running;
    }
  }

 private:
  std::shared_ptr<Connection> self_() {
    return std::static_pointer_cast<Connection>(this->shared_from_this());
  }
  tcp::socket& socket_() {
    if constexpr (kTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  void deadline(asio::steady_timer& timer, int64_t ms) {
    timer.expires_after(std::chrono::milliseconds(ms));
    timer.async_wait([self = self_(), &timer](error_code cancelled) {
      if (!cancelled && timer.expiry() <= asio::steady_timer::clock_type::now()) self->close_now();
    });
  }

  void read_head() {
    if (core_.draining && buffer_.size() == 0 && served_ > 0) return close_now();
    set_waiting(true);
    deadline(read_timer_, served_ > 0 ? core_.options.idle_timeout_ms : core_.options.header_timeout_ms);
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(core_.options.max_header_bytes));
    parser_->body_limit(static_cast<uint64_t>(core_.options.max_body_bytes));
    http::async_read_header(stream_, buffer_, *parser_, [self = self_()](error_code failed, size_t) {
      if (self->gone_) return;
      if (failed) return self->refuse(failed);
      self->on_head();
    });
  }

  void refuse(const error_code& failed) {
    if (failed == http::error::body_limit) {
      return refuse(413, "the body is larger than " + std::to_string(core_.options.max_body_bytes) +
                             " bytes, which is this server's limit (--max-body-mb)");
    }
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow) {
      return refuse(431, "the headers are larger than " + std::to_string(core_.options.max_header_bytes) +
                             " bytes, which is this server's limit");
    }
    if (failed == http::error::end_of_stream || failed == http::error::partial_message ||
        failed.category() != http::make_error_code(http::error::bad_version).category()) {
      return close_now();
    }
    refuse(400, "this is not an HTTP/1.1 request: " + failed.message());
  }

  void refuse(int status, const std::string& message) {
    refuse(HttpAnswer{status, "application/json", json_error(status, message)});
  }

  void refuse(const HttpAnswer& answer) {
    set_waiting(false);
    read_timer_.cancel();
    begin_response(false, request_.method == "HEAD", false);
    send(answer, core_.decorate ? core_.decorate(request_) : Headers{});
    finish();
  }

  void on_head() {
    set_waiting(false);
    const auto& message = parser_->get();
    request_ = HttpRequest();
    request_.number = ++core_.requests;
    request_.peer = peer_;
    request_.method = std::string(message.method_string());
    for (const auto& field : message) {
      std::string name(field.name_string());
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request_.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    std::string_view target(message.target().data(), message.target().size());
    if (target.starts_with("http://") || target.starts_with("https://")) {  // as to a proxy
      const size_t slash = target.find('/', target.find("//") + 2);
      target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
    const size_t question = target.find('?');
    request_.path = percent_decode(target.substr(0, question));
    if (question != std::string_view::npos) request_.query = std::string(target.substr(question + 1));
    http_1_0_next_ = message.version() == 10;
    if (message.version() != 10 && message.version() != 11)
      return refuse(400, "the HTTP version must be 1.0 or 1.1");
    if (core_.draining) return refuse(503, "the server is shutting down");
    if (core_.gate) {
      if (const auto answer = core_.gate(request_)) return refuse(*answer);
    }
    read_body(request_.header("expect"));
  }

  void read_body(std::string_view expect) {
    if (parser_->is_done()) return dispatch();
    const auto length = parser_->content_length();
    const int64_t most = length ? static_cast<int64_t>(*length) : core_.options.max_body_bytes;
    deadline(read_timer_, core_.options.body_timeout_ms + most / kSlowestBytesPerMs);
    const auto read = [self = self_()](error_code failed, size_t) {
      if (self->gone_) return;
      if (failed) return self->refuse(failed);
      http::async_read(self->stream_, self->buffer_, *self->parser_, [self](error_code broken, size_t) {
        if (self->gone_) return;
        if (broken) return self->refuse(broken);
        self->dispatch();
      });
    };
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!http_1_0_next_ && expect == "100-continue") {
      asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()), read);
    } else {
      read({}, 0);
    }
  }

  void dispatch() {
    read_timer_.cancel();
    request_.body = std::move(parser_->get().body());
    begin_response(http_1_0_next_, request_.method == "HEAD", parser_->get().keep_alive());
    running_ = true;
    ++core_.running;
    // With a request waiting behind this one the read would have to be taken back: a client that leaves is
    // then noticed at the next write.
    if (!watching_ && buffer_.size() == 0) watch();
    core_.pool.post([self = self_(), request = std::make_shared<HttpRequest>(std::move(request_))]() {
      HttpReply reply(self, self->core_.decorate ? self->core_.decorate(*request) : Headers{});
      if (!reply.closed()) self->core_.handler(*request, reply);
    });
  }

  // A read is open while the handler works: that is how a client that leaves is noticed. What it brings are
  // requests sent ahead of the answer.
  void watch() {
    watching_ = true;
    stream_.async_read_some(buffer_.prepare(4096), [self = self_()](error_code failed, size_t bytes) {
      self->watching_ = false;
      if (self->gone_) return;
      if (failed) return self->close_now();
      self->buffer_.commit(bytes);
      if (self->lingering_) return self->discard();
      // While a handler works these are of a request sent ahead, which response_done() goes on with: with
      // another read open it would wait for bytes that are here already.
      if (!self->running_) self->read_head();
    });
  }

  void start_write() override {
    deadline(write_timer_,
             core_.options.write_timeout_ms + static_cast<int64_t>(sending_.size()) / kSlowestBytesPerMs);
    asio::async_write(stream_, asio::buffer(sending_), [self = self_()](error_code failed, size_t) {
      self->write_timer_.cancel();
      if (!self->gone_) self->written(static_cast<bool>(failed));
    });
  }

  void response_done() override {
    if (gone_ || lingering_) return;
    if (running_) {
      running_ = false;
      --core_.running;
    }
    ++served_;
    if (!keep_ || core_.draining) return linger();
    if (!watching_) return read_head();
    set_waiting(true);  // the read that is open brings the next request
    deadline(read_timer_, core_.options.idle_timeout_ms);
  }

  // Closing at once would let the kernel answer unread bytes with a reset, which can overtake the answer.
  void linger() {
    lingering_ = true;
    deadline(read_timer_, kLingerMs);
    error_code failed;
    if constexpr (kTls) {
      stream_.async_shutdown([self = self_()](error_code) { self->close_now(); });
    } else {
      socket_().shutdown(tcp::socket::shutdown_send, failed);
      if (failed) return close_now();
      if (!watching_) discard();
    }
  }

  void discard() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(16384), [self = self_()](error_code failed, size_t) {
      if (self->gone_) return;
      if (failed) return self->close_now();
      self->discard();
    });
  }

  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  asio::steady_timer read_timer_, write_timer_;
  HttpRequest request_;
  std::string peer_;
  int64_t served_ = 0;
  bool gone_ = false, running_ = false, watching_ = false, lingering_ = false, http_1_0_next_ = false;
};

}  // namespace

std::shared_ptr<HttpConnection> make_connection(HttpCore& core, tcp::socket socket) {
  if (core.tls) {
    return std::make_shared<Connection<asio::ssl::stream<tcp::socket>>>(core, std::move(socket), *core.tls);
  }
  return std::make_shared<Connection<tcp::socket>>(core, std::move(socket));
}

}  // namespace tessera::server
