// The handler's side of a connection: HttpReply, and what goes into the bytes to be sent.
#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "server/http_connection.h"

namespace tessera::server {
namespace {

constexpr size_t kMaxUnsentBytes = 256 << 10;

}  // namespace

HttpConnection::HttpConnection(HttpCore& core) : core_(core), keep_alive_timer_(core.io) {
  core_.open.insert(this);
  ++core_.connections;
}

HttpConnection::~HttpConnection() {
  --core_.connections;
}

std::string HttpConnection::head_text(int status, const std::string& content_type, const Headers& headers,
                                      int64_t length) const {
  std::string head =
      fmt::format("HTTP/1.{} {} {}\r\nServer: tessera\r\n", http_1_0_ ? 0 : 1, status, reason_phrase(status));
  if (!content_type.empty()) head += "Content-Type: " + content_type + "\r\n";
  for (const auto& [name, value] : headers) {
    // Values may hold what a client sent: a line break would let it write headers of its own.
    if (value.find_first_of("\r\n") == std::string::npos) head += name + ": " + value + "\r\n";
  }
  if (length >= 0) {
    if (status != 204) head += fmt::format("Content-Length: {}\r\n", length);
  } else if (!http_1_0_) {
    head += "Transfer-Encoding: chunked\r\n";
  }
  head += keep_ ? (http_1_0_ ? "Connection: keep-alive\r\n" : "") : "Connection: close\r\n";
  return head + "\r\n";
}

void HttpConnection::begin_response(bool http_1_0, bool head_only, bool keep) {
  const std::lock_guard lock(mutex_);
  http_1_0_ = http_1_0;
  head_only_ = head_only;
  keep_ = keep;
  head_.clear();
  keep_alive_.clear();
  streaming_ = begun_ = finished_ = false;
}

void HttpConnection::post_flush() {  // mutex_ held
  if (flush_posted_) return;
  flush_posted_ = true;
  asio::post(core_.io, [self = shared_from_this()] { self->flush(); });
}

void HttpConnection::send(const HttpAnswer& answer, const Headers& headers) {
  const std::lock_guard lock(mutex_);
  if (closed_ || begun_) return;
  Headers all = headers;
  all.insert(all.end(), answer.headers.begin(), answer.headers.end());
  begun_ = true;
  streaming_ = false;
  pending_ += head_text(answer.status, answer.content_type, all, static_cast<int64_t>(answer.body.size()));
  if (!head_only_) pending_ += answer.body;
  post_flush();
}

void HttpConnection::announce(std::string content_type, std::string keep_alive, const Headers& headers) {
  const std::lock_guard lock(mutex_);
  if (closed_ || begun_) return;
  if (http_1_0_) keep_ = false;  // the body ends where the connection does
  head_ = head_text(200, content_type, headers, -1);
  keep_alive_ = std::move(keep_alive);
  streaming_ = true;
  quiet_ = true;
  if (!keep_alive_.empty()) asio::post(core_.io, [self = shared_from_this()] { self->arm_keep_alive(); });
}

void HttpConnection::push_head_locked() {
  if (begun_) return;
  begun_ = true;
  pending_ += head_;
}

bool HttpConnection::write(std::string_view data) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return closed_ || pending_.size() < kMaxUnsentBytes; });
  if (closed_ || !streaming_) return false;
  push_head_locked();
  quiet_ = false;
  if (!head_only_ && !data.empty()) {
    if (http_1_0_) {
      pending_ += data;
    } else {
      fmt::format_to(std::back_inserter(pending_), "{:x}\r\n", data.size());
      pending_.append(data).append("\r\n");
    }
  }
  post_flush();
  return true;
}

void HttpConnection::finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  if (streaming_ && !closed_) {
    push_head_locked();
    if (!head_only_ && !http_1_0_) pending_ += "0\r\n\r\n";
  }
  post_flush();
}

bool HttpConnection::begun() const {
  const std::lock_guard lock(mutex_);
  return begun_;
}

bool HttpConnection::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void HttpConnection::on_close(std::function<void()> callback) {
  const std::lock_guard lock(callback_mutex_);
  on_close_ = std::move(callback);
  if (close_told_ && on_close_) on_close_();
}

void HttpConnection::mark_closed() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    pending_.clear();
  }
  room_.notify_all();
  keep_alive_timer_.cancel();
  const std::lock_guard lock(callback_mutex_);
  if (close_told_) return;
  close_told_ = true;
  if (on_close_) on_close_();
}

void HttpConnection::arm_keep_alive() {
  keep_alive_timer_.expires_after(std::chrono::milliseconds(core_.options.keep_alive_ms));
  keep_alive_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    {
      const std::lock_guard lock(self->mutex_);
      if (self->closed_ || self->finished_ || !self->streaming_) return;
      if (self->quiet_ && self->pending_.empty() && !self->head_only_) {
        self->push_head_locked();
        const std::string& text = self->keep_alive_;
        self->pending_ += self->http_1_0_ ? text : fmt::format("{:x}\r\n{}\r\n", text.size(), text);
        self->post_flush();
      }
      self->quiet_ = true;
    }
    self->arm_keep_alive();
  });
}

void HttpConnection::flush() {
  {
    const std::lock_guard lock(mutex_);
    flush_posted_ = false;
    if (closed_ || writing_) return;
    sending_.clear();
    sending_.swap(pending_);
    if (sending_.empty() && !finished_) return;
    if (sending_.empty()) finished_ = streaming_ = false;  // told once: a second flush may be on its way
  }
  if (sending_.empty()) {
    keep_alive_timer_.cancel();
    response_done();
    return;
  }
  writing_ = true;
  start_write();
}

void HttpConnection::written(bool failed) {
  writing_ = false;
  if (failed) {
    close_now();
    return;
  }
  room_.notify_all();
  flush();
}

void HttpConnection::set_waiting(bool waiting) {
  if (waiting == in_waiting_) return;
  in_waiting_ = waiting;
  if (waiting) {
    waiting_at_ = core_.waiting.insert(core_.waiting.end(), this);
  } else {
    core_.waiting.erase(waiting_at_);
  }
}

void HttpConnection::close_if_waiting() {
  if (in_waiting_) close_now();
}

// ---------------------------------------------------------------------------------------------- HttpReply

HttpReply::HttpReply(std::shared_ptr<HttpConnection> connection, Headers headers)
    : connection_(std::move(connection)), headers_(std::move(headers)) {}

HttpReply::~HttpReply() {
  if (!done_ && status_ == 0) send({500, "text/plain", "no answer\n"});
  end();
}

void HttpReply::send(HttpAnswer answer) {
  if (done_ || begun()) return;
  status_ = answer.status;
  bytes_ = static_cast<int64_t>(answer.body.size());
  left_ = closed();
  connection_->send(answer, headers_);
  const bool left = left_;
  end();
  left_ = left;  // a client that closes once it has the answer has not left
}

void HttpReply::stream(std::string content_type, std::string keep_alive) {
  if (done_) return;
  status_ = 200;
  Headers headers = headers_;
  headers.emplace_back("Cache-Control", "no-cache");
  headers.emplace_back("X-Accel-Buffering", "no");  // nginx would hold events back
  connection_->announce(std::move(content_type), std::move(keep_alive), headers);
}

bool HttpReply::write(std::string_view data) {
  if (done_) return false;
  bytes_ += static_cast<int64_t>(data.size());
  return connection_->write(data);
}

void HttpReply::end() {
  if (done_) return;
  done_ = true;
  left_ |= closed();
  connection_->on_close({});
  connection_->finish();
}

bool HttpReply::begun() const {
  return connection_->begun();
}

bool HttpReply::closed() const {
  return connection_->closed();
}

void HttpReply::on_close(std::function<void()> callback) {
  connection_->on_close(std::move(callback));
}

}  // namespace tessera::server
