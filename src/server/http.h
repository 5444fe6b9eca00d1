#pragma once
// HTTP/1.1 over TCP or TLS. One thread owns every connection and never waits; handlers run on threads of a
// pool and may. The rest of the server sees requests and replies as strings.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;    // without the query; percent escapes undone, so never joined to a file name
  std::string query;   // as sent, without the question mark
  Headers headers;     // names in lower case
  std::string body;    // empty while only the head is known
  std::string peer;    // address of the other end
  int64_t number = 0;  // of this server, from 1: for the log

  /// The first of that name, lower case; "" when absent.
  std::string_view header(std::string_view name) const;
};

/// A complete answer. `content_type` "": no body and no such header.
struct HttpAnswer {
  int status = 200;
  std::string content_type;
  std::string body;
  Headers headers = {};
};

class HttpConnection;

/// The answer to one request, written from the handler's thread: either send(), or stream() and then write()s
/// and end(). Once the client is gone everything is ignored.
class HttpReply {
 public:
  HttpReply(std::shared_ptr<HttpConnection> connection, Headers headers);
  ~HttpReply();  // ends what was begun; a handler that answered nothing is a 500
  HttpReply(const HttpReply&) = delete;
  HttpReply& operator=(const HttpReply&) = delete;

  void send(HttpAnswer answer);
  /// Announces a body of unknown length. The head goes out with the first write(), or with `keep_alive`,
  /// which is sent whenever nothing else was for the keep-alive interval ("": never): until then send() may
  /// still answer.
  void stream(std::string content_type, std::string keep_alive);
  /// Waits while more than 256 KiB have not been taken by the client. Returns false when the client is gone.
  bool write(std::string_view data);
  void end();

  bool begun() const;                  // the head is on its way
  bool closed() const;                 // the client is gone
  bool left() const { return left_; }  // … and was before the end
  int status() const { return status_; }
  int64_t bytes() const { return bytes_; }
  /// `callback` runs once, on the I/O thread, when the client goes; at once when it has gone. Replaces an
  /// earlier one; {} waits until one that is running has returned.
  void on_close(std::function<void()> callback);

 private:
  std::shared_ptr<HttpConnection> connection_;
  Headers headers_;
  int status_ = 0;
  int64_t bytes_ = 0;
  bool done_ = false, left_ = false;
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8080;            // 0: any free one
  std::string tls_cert_path;  // PEM, the chain; "": no TLS
  std::string tls_key_path;   // PEM
  int64_t max_body_bytes = int64_t{64} << 20;
  int max_header_bytes = 32 << 10;
  int max_connections = 4096;      // over it the one that has been idle longest is closed, or the new one
  int max_handlers = 64;           // threads; requests over it wait for one
  int header_timeout_ms = 15'000;  // from the first byte waited for to the end of the head
  int idle_timeout_ms = 75'000;    // between requests
  int body_timeout_ms = 30'000;    // plus one second for 64 KiB
  int write_timeout_ms = 30'000;   // without any progress
  int keep_alive_ms = 15'000;      // HttpReply::stream
};

struct HttpCounts {
  int connections = 0;
  int handlers = 0;  // requests that have a thread
};

class HttpServer {
 public:
  /// `gate` sees the head of every request on the I/O thread, before its body is read: an answer refuses it
  /// and the connection is closed. `handler` answers the others, on a thread of the pool.
  using Gate = std::function<std::optional<HttpAnswer>(const HttpRequest&)>;
  /// Headers that go with every answer to this request (CORS).
  using Decorate = std::function<Headers(const HttpRequest&)>;
  using Handler = std::function<void(const HttpRequest&, HttpReply&)>;

  /// Binds and listens. Throws Error(kIo) with the address, Error(kBadRequest) for certificates that cannot
  /// be used.
  HttpServer(const HttpOptions& options, Gate gate, Decorate decorate, Handler handler);
  ~HttpServer();

  int port() const;
  /// "http://127.0.0.1:8080"
  std::string address() const;
  /// No new connections and requests from now on; running ones go on.
  void drain();
  /// Until no request is running. Returns false after `timeout_ms`.
  bool wait_idle(int timeout_ms);
  /// Closes everything; handlers see a client that is gone. Returns when none runs.
  void stop();
  HttpCounts counts() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// "a%20b+c" -> "a b+c", with '+' as a blank when `plus`. Broken escapes stay as they are.
std::string percent_decode(std::string_view text, bool plus = false);
/// The value of `name` in a query or form, decoded.
std::optional<std::string> query_value(std::string_view query, std::string_view name);
const char* reason_phrase(int status);

}  // namespace tessera::server
