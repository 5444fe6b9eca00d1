#pragma once
// The program itself as a test meets it.
#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "client.h"
#include "support/temp_dir.h"

namespace tessera::server {

inline const std::string kTiny = std::string(TESSERA_SOURCE_DIR) + "/tests/fixtures/tiny";

/// `tessera serve` on a free port, which its log names.
class Program {
 public:
  /// `before`: what the shell is to read before the program's name: variables, or a command and a semicolon.
  explicit Program(const std::string& arguments, const std::string& before = {}) : log_(dir_.file("log")) {
    const std::string command = before + " exec '" + TESSERA_BINARY + "' serve " + arguments +
                                " --log-file '" + log_ + "' >'" + dir_.file("out") + "' 2>&1";
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    for (int i = 0; i < 1000 && port_ == 0 && !ended(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const std::string text = log();
      const size_t ready = text.find(" ready "), at = text.find("address=http://127.0.0.1:");
      if (ready != std::string::npos && at != std::string::npos) port_ = std::atoi(text.c_str() + at + 25);
    }
  }
  ~Program() {
    if (!ended()) ::kill(pid_, SIGKILL);
    wait();
  }
  int port() const { return port_; }
  std::string log() const { return read(log_); }
  std::string output() const { return read(dir_.file("out")); }
  void signal(int number) const { ::kill(pid_, number); }
  /// The exit code.
  int wait() {
    if (!waited_) ::waitpid(pid_, &status_, 0);
    waited_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

 private:
  bool ended() {
    if (!waited_) waited_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return waited_;
  }
  static std::string read(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const TempDir dir_;
  const std::string log_;
  pid_t pid_ = -1;
  int port_ = 0, status_ = 0;
  bool waited_ = false;
};

}  // namespace tessera::server
