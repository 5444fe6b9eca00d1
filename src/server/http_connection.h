#pragma once
// One connection: reads requests one after the other, hands each to a handler, sends what the handler writes.
// Everything is the I/O thread's but what stands under mutex_.
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "server/handler_pool.h"
#include "server/http.h"

namespace tessera::server {

namespace asio = boost::asio;

class HttpConnection;

/// What the connections of a server share.
struct HttpCore {
  explicit HttpCore(const HttpOptions& o) : options(o), pool(o.max_handlers) {}

  const HttpOptions options;
  HttpServer::Gate gate;
  HttpServer::Decorate decorate;
  HttpServer::Handler handler;
  asio::io_context io{1};
  std::unique_ptr<asio::ssl::context> tls;
  HandlerPool pool;
  std::atomic<bool> draining{false};
  std::atomic<int> connections{0},
      running{0};  // running: requests handed to the pool and not yet answered in full
  // I/O thread only.
  std::unordered_set<HttpConnection*> open;
  std::list<HttpConnection*>
      waiting;  // for a request, longest first: these may be closed when room is needed
  int64_t requests = 0;
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  virtual ~HttpConnection();

  // I/O thread.
  virtual void start() = 0;
  virtual void close_now() = 0;  // no more of it; handlers see a client that is gone
  void close_if_waiting();

  // Any thread: the handler's side, see HttpReply.
  void send(const HttpAnswer& answer, const Headers& headers);
  void announce(std::string content_type, std::string keep_alive, const Headers& headers);
  bool write(std::string_view data);
  void finish();
  bool begun() const;
  bool closed() const;
  void on_close(std::function<void()> callback);

 protected:
  explicit HttpConnection(HttpCore& core);

  virtual void start_write() = 0;                                 // async_write of sending_, then written()
  virtual void response_done() = 0;                               // all of it was sent
  void flush();                                                   // I/O thread
  void written(bool failed);                                      // I/O thread
  void mark_closed();                                             // I/O thread
  void arm_keep_alive();                                          // I/O thread
  void set_waiting(bool waiting);                                 // I/O thread
  void begin_response(bool http_1_0, bool head_only, bool keep);  // I/O thread, before the handler runs
  void post_flush();                                              // any thread

  HttpCore& core_;
  std::string sending_;
  bool writing_ = false, keep_ = true, http_1_0_ = false, head_only_ = false;
  asio::steady_timer keep_alive_timer_;

 private:
  void push_head_locked();
  std::string head_text(int status, const std::string& content_type, const Headers& headers,
                        int64_t length) const;

  bool in_waiting_ = false;
  std::list<HttpConnection*>::iterator waiting_at_;

  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::string pending_;     // to be sent
  std::string head_;        // of a stream, until it begins
  std::string keep_alive_;  // text
  bool streaming_ = false, begun_ = false, finished_ = false, closed_ = false, flush_posted_ = false;
  bool quiet_ = true;  // nothing written since the keep-alive timer was set

  std::mutex callback_mutex_;
  std::function<void()> on_close_;
  bool close_told_ = false;
};

/// A connection of the kind that core.tls says.
std::shared_ptr<HttpConnection> make_connection(HttpCore& core, asio::ip::tcp::socket socket);

}  // namespace tessera::server
