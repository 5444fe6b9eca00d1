#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

constexpr int kRepeatMs = 20;

int signal_pipe[2] = {-1, -1};

void on_interrupt(int) {
  const int saved = errno;
  const char byte = 1;
  // A full pipe already says what there is to say.
  if (::write(signal_pipe[1], &byte, 1) < 0) errno = saved;
  errno = saved;
}

void set_handler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptPipe::InterruptPipe() {
  if (::pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw_error(ErrorKind::kIo, "cannot make a pipe for Ctrl-C: {}", std::strerror(errno));
  }
  set_handler(on_interrupt);
}

InterruptPipe::~InterruptPipe() {
  set_handler(SIG_DFL);
  ::close(signal_pipe[0]);
  ::close(signal_pipe[1]);
}

int InterruptPipe::fd() const {
  return signal_pipe[0];
}

bool InterruptPipe::take() {
  char bytes[64];
  bool any = false;
  while (::read(signal_pipe[0], bytes, sizeof bytes) > 0) any = true;
  return any;
}

CancelOnInterrupt::CancelOnInterrupt(InterruptPipe& pipe, Session& session)
    : pipe_(pipe), session_(session), stop_fd_(::eventfd(0, EFD_CLOEXEC)) {
  if (stop_fd_ < 0) throw_error(ErrorKind::kIo, "cannot make an eventfd: {}", std::strerror(errno));
  watcher_ = std::thread([this] { watch(); });
}

CancelOnInterrupt::~CancelOnInterrupt() {
  const uint64_t one = 1;
  while (::write(stop_fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  watcher_.join();
  ::close(stop_fd_);
}

void CancelOnInterrupt::watch() {
  for (int interrupts = 0;;) {
    pollfd fds[2] = {{pipe_.fd(), POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    // Cancelled again and again: a Ctrl-C before generate() has begun would be forgotten by it.
    if (::poll(fds, 2, interrupts > 0 ? kRepeatMs : -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    if (fds[0].revents != 0 && pipe_.take() && ++interrupts == 2) {
      write_err("\n");
      ::_exit(kExitInterrupted);
    }
    if (interrupts > 0) session_.cancel();
  }
}

}  // namespace tessera::cli
