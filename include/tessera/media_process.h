#pragma once
// Media decoded where a fault in a decoder does no harm.
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

struct MediaProcessOptions {
  /// A program and its arguments that do nothing but call run_media_process(). Its whole environment,
  /// "NAME=value".
  std::vector<std::string> command, environment;
  int timeout_ms = 120'000;  // of one file, by the clock; processor time has the same bound
  int max_at_once = 4;       // files; others wait
  /// A decoder that crashed or had to be ended, for the log. From any thread.
  std::function<void(const std::string& what)> on_failure;
};

/// Decodes each file in a new process that can open no file and no socket, sees none that is open, and has
/// bounds on memory and processor time (Linux: seccomp, resource limits). MediaLimits::process takes it. What
/// is decoded is the same bit for bit. A decoder that crashes or is ended is Error(kBadMedia | kTooLarge) of
/// that file alone. Any thread.
class MediaProcess {
 public:
  /// Starts the process that the others are forked from, and lets one try what it must not. Throws Error(kIo)
  /// with the reason when the system does not confine it.
  explicit MediaProcess(MediaProcessOptions options);
  ~MediaProcess();
  MediaProcess(const MediaProcess&) = delete;
  MediaProcess& operator=(const MediaProcess&) = delete;

  class Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// What MediaProcessOptions::command runs, in a process without other threads. Returns an exit code when its
/// parent is gone, or at once when it was not started by a MediaProcess.
int run_media_process();

}  // namespace tessera
