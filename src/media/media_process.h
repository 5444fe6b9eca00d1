#pragma once
// The parent's side of confined decoding; the other is media_zygote.cc.
#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "media/decoded.h"

namespace tessera {

/// A descriptor, closed at the end.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  void reset() { *this = Fd(); }

 private:
  int fd_;
};

/// The socket on which the zygote gets its orders, one packet each: pack_job() and three descriptors, the
/// file, an empty file for the result, and a pipe that it writes one DecoderEnd to.
inline constexpr int kOrderFd = 3;
inline constexpr size_t kMaxOrderBytes = 4096;
struct DecoderEnd {
  int32_t wait_status = 0;  // as of waitpid()
  int32_t late = 0;         // ended because its time was over
};
/// Before the job in an order.
struct OrderHead {
  int32_t timeout_ms = 0;
};

class MediaProcess::Impl {
 public:
  explicit Impl(MediaProcessOptions options);
  ~Impl();

  /// Throws as decode_here(), kBadMedia and kTooLarge for a decoder that failed, kIo when there can be none.
  Decoded decode(Bytes file, const DecodeJob& job);

 private:
  class Place;
  void start();  // mutex_ held
  void stop();   // mutex_ held
  /// Returns which zygote got it, see started_.
  int64_t order(const DecodeJob& job, int file, int result, int end);
  /// Empty when there is no zygote any more.
  std::optional<DecoderEnd> wait_for(int end, int64_t zygote);

  const MediaProcessOptions options_;
  std::mutex places_mutex_;
  std::condition_variable place_free_;
  int places_;

  std::mutex mutex_;  // of what follows
  Fd orders_;
  pid_t zygote_ = -1;
  int64_t started_ = 0;  // zygotes so far
};

}  // namespace tessera
