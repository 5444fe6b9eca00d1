// tessera on a terminal (a pseudo-terminal): Ctrl-C, Ctrl-D, editing, pasted lines, colour.
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "cli/program.h"

namespace tessera::test {
namespace {

using Clock = std::chrono::steady_clock;

/// The program with a terminal of 100 columns in front of it.
class Terminal {
 public:
  explicit Terminal(std::vector<std::string> arguments, const std::vector<std::string>& environment = {}) {
    winsize size{30, 100, 0, 0};
    child_ = ::forkpty(&fd_, nullptr, nullptr, &size);
    if (child_ == 0) {
      ::setenv("HOME", home_.path().c_str(), 1);
      ::setenv("TERM", "xterm", 1);
      ::unsetenv("XDG_STATE_HOME");
      for (const auto& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
      arguments.insert(arguments.begin(), TESSERA_BINARY);
      std::vector<char*> argv;
      for (auto& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    EXPECT_GT(child_, 0);
  }
  ~Terminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(fd_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys) {
    EXPECT_EQ(::write(fd_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }

  /// Reads until `text` was shown after what earlier calls waited for; false after 30 s or at the program's
  /// end.
  bool shows(const std::string& text) {
    const auto end = Clock::now() + std::chrono::seconds(30);
    for (;;) {
      const size_t at = screen_.find(text, seen_);
      if (at != std::string::npos) {
        seen_ = at + text.size();
        return true;
      }
      pollfd fd{fd_, POLLIN, 0};
      char bytes[4096];
      if (Clock::now() > end || ::poll(&fd, 1, 1000) < 0) return false;
      if (fd.revents == 0) continue;
      const ssize_t got = ::read(fd_, bytes, sizeof bytes);
      if (got <= 0) return false;
      screen_.append(bytes, static_cast<size_t>(got));
    }
  }

  /// The exit code, or -1 when it does not end in time or by itself.
  int exit_code() {
    shows("there is no such text");  // drains until the program closes the terminal
    int status = 0;
    for (int i = 0; i < 100; ++i) {
      if (::waitpid(child_, &status, WNOHANG) == child_) {
        child_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      ::usleep(50'000);
    }
    return -1;
  }

  const std::string& screen() const { return screen_; }
  std::string history() const { return home_ / ".local/state/tessera/history"; }

 private:
  Folder home_;
  pid_t child_ = -1;
  int fd_ = -1;
  std::string screen_;
  size_t seen_ = 0;
};

const std::vector<std::string> kChat = {"chat", kTiny, "--temp", "0", "-n", "3900"};

class CliTerminal : public testing::Test {
 protected:
  void SetUp() override {
    const int fd = ::posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0) GTEST_SKIP() << "this machine has no pseudo-terminals (is /dev/pts mounted?)";
    ::close(fd);
  }
};

TEST_F(CliTerminal, CtrlCStopsTheAnswerAndNotTheProgram) {
  Terminal terminal(kChat);
  ASSERT_TRUE(terminal.shows(">>> ")) << terminal.screen();
  terminal.type("Hello.\r");  // greedy, this one goes on for 3,900 tokens
  ASSERT_TRUE(terminal.shows("\x1b[?2004l")) << "the line is taken: " << terminal.screen();
  terminal.type("\x03");
  ASSERT_TRUE(terminal.shows("[stopped]")) << terminal.screen();
  ASSERT_TRUE(terminal.shows(">>> ")) << terminal.screen();
  terminal.type("/bye\r");
  EXPECT_EQ(terminal.exit_code(), 0) << terminal.screen();
}

TEST_F(CliTerminal, CtrlCDropsTheLineAndCtrlDLeaves) {
  Terminal terminal(kChat);
  ASSERT_TRUE(terminal.shows(">>> "));
  terminal.type("half a li");
  ASSERT_TRUE(terminal.shows("half a li"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.shows(">>> ")) << terminal.screen();
  terminal.type("/stats\r");
  ASSERT_TRUE(terminal.shows("tokens of context used")) << terminal.screen();
  ASSERT_TRUE(terminal.shows(">>> "));
  terminal.type("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST_F(CliTerminal, CtrlCEndsRunWithTheTextSoFar) {
  Terminal terminal({"run", kTiny, "Hello.", "--temp", "0", "-n", "3900"});
  ASSERT_TRUE(terminal.shows("a")) << terminal.screen();
  terminal.type("\x03");
  EXPECT_TRUE(terminal.shows("[stopped]")) << terminal.screen();
  EXPECT_EQ(terminal.exit_code(), 130);
}

TEST_F(CliTerminal, LinesAreEditedKeptAndPastedWhole) {
  Terminal terminal(kChat);
  ASSERT_TRUE(terminal.shows(">>> "));
  terminal.type("/systm\x1b[De\r");  // the left arrow, then the missing letter
  ASSERT_TRUE(terminal.shows("no system text")) << terminal.screen();
  ASSERT_TRUE(terminal.shows(">>> "));
  terminal.type("/system \x1b[200~one\ntwo\x1b[201~ three\r");
  ASSERT_TRUE(terminal.shows("system: one")) << terminal.screen();
  ASSERT_TRUE(terminal.shows("two three")) << terminal.screen();
  ASSERT_TRUE(terminal.shows(">>> "));
  terminal.type("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_NE(read_file(terminal.history()).find("/system"), std::string::npos);
}

TEST_F(CliTerminal, GreyOnlyWhereItIsWanted) {
  for (const bool plain : {false, true}) {
    Terminal terminal(kChat, plain ? std::vector<std::string>{"NO_COLOR=1"} : std::vector<std::string>{});
    ASSERT_TRUE(terminal.shows(">>> "));
    terminal.type("\x04");
    EXPECT_EQ(terminal.exit_code(), 0);
    EXPECT_EQ(terminal.screen().find("\x1b[2m") == std::string::npos, plain) << terminal.screen();
  }
}

}  // namespace
}  // namespace tessera::test
