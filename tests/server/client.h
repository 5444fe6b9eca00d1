#pragma once
// An HTTP client of the plainest kind, on a socket: it can say what a well-behaved one cannot.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "scripted_model.h"
#include "server/json.h"
#include "server/server.h"

namespace tessera::server {

struct Answer {
  int status = 0;
  std::string head, body;  // the body without its chunks

  Json json() const { return Json::parse(body, nullptr, false); }
  bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
  /// The JSON of each `data:` line but [DONE].
  std::vector<Json> events() const {
    std::vector<Json> out;
    for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
      const size_t end = body.find('\n', at);
      const std::string line = body.substr(at + 6, end - at - 6);
      if (line != "[DONE]") out.push_back(Json::parse(line, nullptr, false));
      at = end;
    }
    return out;
  }
};

class Socket {
 public:
  explicit Socket(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Socket() { close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  bool send(std::string_view data) {
    while (!data.empty()) {
      const ssize_t n = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      data.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  /// Up to `most` bytes; "" at the end, after `ms` of silence, or when reset.
  std::string receive(size_t most = 65536, int ms = 10'000) {
    pollfd poll{fd_, POLLIN, 0};
    if (::poll(&poll, 1, ms) <= 0) return {};
    std::string data(most, '\0');
    const ssize_t n = ::recv(fd_, data.data(), data.size(), 0);
    data.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return data;
  }
  std::string receive_all(int ms = 10'000) {
    std::string all;
    for (std::string part; !(part = receive(65536, ms)).empty();) all += part;
    return all;
  }
  /// With a reset instead of an orderly end.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  bool connected_ = false;
};

inline Answer parse_answer(const std::string& raw) {
  Answer answer;
  const size_t end = raw.find("\r\n\r\n");
  if (end == std::string::npos || !raw.starts_with("HTTP/1.")) return answer;
  answer.head = raw.substr(0, end + 2);
  answer.status = std::stoi(raw.substr(9, 3));
  std::string_view rest = std::string_view(raw).substr(end + 4);
  if (!answer.has("Transfer-Encoding: chunked")) {
    answer.body = std::string(rest);
    return answer;
  }
  while (!rest.empty()) {
    const size_t size = std::stoul(std::string(rest.substr(0, 16)), nullptr, 16);
    const size_t begin = rest.find("\r\n") + 2;
    if (size == 0 || begin + size + 2 > rest.size()) break;
    answer.body.append(rest.substr(begin, size));
    rest.remove_prefix(begin + size + 2);
  }
  return answer;
}

inline std::string request_text(const std::string& method, const std::string& path,
                                const std::string& body = {}, const std::string& headers = {}) {
  return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers +
         (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" + body;
}

inline Answer ask(int port, const std::string& method, const std::string& path, const std::string& body = {},
                  const std::string& headers = {}) {
  Socket socket(port);
  EXPECT_TRUE(socket.connected());
  socket.send(request_text(method, path, body, headers));
  return parse_answer(socket.receive_all());
}

/// For what comes a moment after an answer: its log line, its metrics, the end of its connection.
inline void wait_for(const std::function<bool()>& condition) {
  bool met = false;
  for (int i = 0; i < 2000 && !(met = condition()); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(met);
}

/// A server with a scripted model on a free port.
class ScriptedServer : public ::testing::Test {
 protected:
  void start() {
    options_.http.port = 0;
    log_ = std::make_unique<Log>(LogLevel::kError, false, "");
    server_ = std::make_unique<Server>(options_, *log_);
    server_->set_model(model_);
  }
  void SetUp() override {
    options_.parallel = 4;
    options_.version = "0.1.0";
  }
  void TearDown() override { server_.reset(); }

  int port() const { return server_->port(); }
  Answer get(const std::string& path, const std::string& headers = {}) {
    return ask(port(), "GET", path, {}, headers);
  }
  Answer post(const std::string& path, const Json& body, const std::string& headers = {}) {
    return ask(port(), "POST", path, dump(body), headers);
  }
  Answer post(const std::string& path, const std::string& body) { return ask(port(), "POST", path, body); }
  static Json user(const std::string& text) { return Json::array({{{"role", "user"}, {"content", text}}}); }
  /// Still there and well.
  void expect_alive() {
    model_->play({{text_event("ok")}});
    const Answer answer = post("/v1/chat/completions", {{"messages", user("hi")}});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.json()["choices"][0]["message"]["content"], "ok") << answer.body;
  }

  ServerOptions options_;
  std::shared_ptr<ScriptedModel> model_ = std::make_shared<ScriptedModel>();
  std::unique_ptr<Log> log_;
  std::unique_ptr<Server> server_;
};

}  // namespace tessera::server
