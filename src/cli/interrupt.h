#pragma once
// Ctrl-C as an event instead of the end of the program.
#include <atomic>
#include <thread>

#include "tessera/tessera.h"

namespace tessera::cli {

/// While one lives, SIGINT writes a byte to a pipe and nothing else. At most one at a time.
class InterruptPipe {
 public:
  InterruptPipe();
  ~InterruptPipe();
  InterruptPipe(const InterruptPipe&) = delete;
  InterruptPipe& operator=(const InterruptPipe&) = delete;

  int fd() const;  // readable after Ctrl-C
  /// Empties the pipe; true if there was a Ctrl-C in it.
  bool take();
};

/// While one lives, Ctrl-C cancels the session's answer, from a thread of its own (a signal handler may not).
/// A second Ctrl-C ends the program: the first was not fast enough for someone.
class CancelOnInterrupt {
 public:
  CancelOnInterrupt(InterruptPipe& pipe, Session& session);
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;

 private:
  void watch();

  InterruptPipe& pipe_;
  Session& session_;
  int stop_fd_;  // eventfd
  std::thread watcher_;
};

}  // namespace tessera::cli
