// The process that decoders are forked from. It runs no decoder itself and has one thread, so a fork is a
// whole program; its own input are orders of its parent alone.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <new>

#include "base/error.h"
#include "media/confine.h"
#include "media/decode_wire.h"
#include "media/media_process.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNotStartedByAParent = 2;
constexpr int kFileFd = 3, kResultFd = 4;  // in a decoder

struct Order {
  OrderHead head;
  DecodeJob job;
  Fd file, result, end;
};

struct Decoder {
  pid_t pid = -1;
  Fd life;  // readable once it has ended
  Fd end;
  Clock::time_point deadline;
  DecoderEnd how;
};

// ------------------------------------------------------------------------------------------- a decoder

Bytes map_file() {
  struct stat status {};
  if (::fstat(kFileFd, &status) != 0) throw_error(ErrorKind::kIo, "fstat: {}", std::strerror(errno));
  if (status.st_size == 0) return {};
  const auto size = static_cast<size_t>(status.st_size);
  void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, kFileFd, 0);
  if (at == MAP_FAILED) throw_error(ErrorKind::kIo, "mmap: {}", std::strerror(errno));
  return {static_cast<const uint8_t*>(at), size};
}

[[gnu::noinline]] void practise(Drill drill) {
  switch (drill) {
    case Drill::kCrash:
      __builtin_trap();
    case Drill::kSpin:
      for (volatile bool on = true; on;) {
      }
      break;
    case Drill::kSleep: {
      int never = 0;
      for (;;) ::syscall(SYS_futex, &never, 0 /* FUTEX_WAIT */, 0, nullptr, nullptr, 0);
    }
    case Drill::kEat:
      for (std::vector<std::vector<char>> all;;) all.emplace_back().reserve(64 << 20);
    case Drill::kFlood: {
      const std::vector<char> block(16 << 20);
      while (::write(kResultFd, block.data(), block.size()) > 0) {
      }
      break;
    }
    case Drill::kLie: {
      Decoded lie;
      lie.images.push_back({1 << 30, 1 << 30, std::vector<uint8_t>(3)});
      lie.source_width = lie.source_height = 1;
      write_decoded(kResultFd, lie);
      ::_exit(0);
    }
    default:
      break;
  }
}

void decode_and_tell(const DecodeJob& job, int timeout_ms) {
  try {
    const Bytes file = map_file();
    ::close(kFileFd);
    confine({most_decoder_bytes(job.limits), most_result_bytes(job.limits), timeout_ms / 1000 + 1});
    if (job.drill == Drill::kForbidden) {
      if (const std::string through = escapes(); !through.empty())
        throw_error(ErrorKind::kIo, "a confined process was allowed: {}", through);
      Decoded nothing;
      nothing.samples.resize(1);
      return write_decoded(kResultFd, nothing);
    }
    practise(job.drill);
    write_decoded(kResultFd, decode_here(file, job));
  } catch (const Error& error) {
    write_failure(kResultFd, error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    write_failure(kResultFd, ErrorKind::kTooLarge,
                  fmt::format("{}: decoding it needs more than the {} MiB of memory that it may have",
                              job.name, most_decoder_bytes(job.limits) >> 20));
  } catch (const std::exception& error) {
    write_failure(kResultFd, ErrorKind::kBadMedia, fmt::format("{}: {}", job.name, error.what()));
  }
}

[[noreturn]] void run_decoder(Order& order, pid_t zygote) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != zygote) ::_exit(1);
  std::signal(SIGXFSZ, SIG_DFL);
  ::dup2(order.file.get(), kFileFd);
  ::dup2(order.result.get(), kResultFd);
  ::closefrom(kResultFd + 1);
  for (const int fd : {0, 1, 2}) ::close(fd);
  try {
    decode_and_tell(order.job, order.head.timeout_ms);
  } catch (...) {
    ::_exit(1);
  }
  ::_exit(0);
}

// ------------------------------------------------------------------------------------------- the zygote

// False when the parent is gone.
bool receive(Order& order) {
  uint8_t bytes[kMaxOrderBytes];
  iovec part{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = 0;
  do {
    size = ::recvmsg(kOrderFd, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (size <= static_cast<ssize_t>(sizeof order.head) || rights == nullptr ||
      rights->cmsg_len != CMSG_LEN(3 * sizeof(int)))
    return false;
  int fds[3];
  std::memcpy(fds, CMSG_DATA(rights), sizeof fds);
  order.file = Fd(fds[0]);
  order.result = Fd(fds[1]);
  order.end = Fd(fds[2]);
  std::memcpy(&order.head, bytes, sizeof order.head);
  order.job = unpack_job(Bytes(bytes, static_cast<size_t>(size)).subspan(sizeof order.head));
  return true;
}

void tell(const Decoder& decoder) {
  uint8_t bytes[sizeof(DecoderEnd)];
  std::memcpy(bytes, &decoder.how, sizeof bytes);
  [[maybe_unused]] const ssize_t n = ::write(decoder.end.get(), bytes, sizeof bytes);
}

// A parent that hears nothing on the pipe knows that there is no decoder.
void fork_decoder(Order order, std::vector<Decoder>& decoders) {
  const pid_t zygote = ::getpid();
  Decoder decoder;
  decoder.pid = ::fork();
  if (decoder.pid == 0) run_decoder(order, zygote);
  if (decoder.pid < 0) return;
  decoder.life = Fd(static_cast<int>(::syscall(SYS_pidfd_open, decoder.pid, 0)));
  decoder.end = std::move(order.end);
  decoder.deadline = Clock::now() + std::chrono::milliseconds(order.head.timeout_ms);
  if (decoder.life.get() < 0) {  // without it nobody would see it end
    ::kill(decoder.pid, SIGKILL);
    ::waitpid(decoder.pid, nullptr, 0);
    return;
  }
  decoders.push_back(std::move(decoder));
}

// Ends what is late; the milliseconds until the next is, -1 for never.
int end_late(std::vector<Decoder>& decoders) {
  const auto now = Clock::now();
  auto next = Clock::time_point::max();
  for (Decoder& d : decoders) {
    if (d.how.late == 0 && d.deadline <= now) {
      d.how.late = 1;
      ::kill(d.pid, SIGKILL);
    }
    if (d.how.late == 0) next = std::min(next, d.deadline);
  }
  if (next == Clock::time_point::max()) return -1;
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(next - now).count()) + 1;
}

}  // namespace

int run_media_process() {
  int type = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(kOrderFd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_SEQPACKET)
    return kNotStartedByAParent;
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<Decoder> decoders;
  for (;;) {
    const int timeout_ms = end_late(decoders);
    std::vector<pollfd> ready = {{kOrderFd, POLLIN, 0}};
    for (const Decoder& d : decoders) ready.push_back({d.life.get(), POLLIN, 0});
    if (::poll(ready.data(), ready.size(), timeout_ms) < 0 && errno != EINTR) return 1;
    for (size_t i = decoders.size(); i-- > 0;) {
      if (ready[i + 1].revents == 0) continue;
      Decoder& d = decoders[i];
      if (::waitpid(d.pid, &d.how.wait_status, 0) == d.pid) tell(d);
      decoders.erase(decoders.begin() + static_cast<int64_t>(i));
    }
    if (ready[0].revents == 0) continue;
    Order order;
    if (!receive(order)) break;
    fork_decoder(std::move(order), decoders);
  }
  return 0;  // decoders that still run go with their parent
}

}  // namespace tessera
