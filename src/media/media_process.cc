#include "media/media_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "media/decode_wire.h"

namespace tessera {
namespace {

constexpr int kZygoteSlackMs = 10'000;  // beyond a file's time, for the zygote to say so

[[noreturn]] void fail(const char* what, int error) {
  throw_error(ErrorKind::kIo, "no process for decoding: {}: {}", what, std::strerror(error));
}

Fd memory_file(const char* name) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC));
  if (fd.get() < 0) fail("memfd_create", errno);
  return fd;
}

Fd file_of(Bytes bytes) {
  Fd fd = memory_file("media");
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("a copy of the file", errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return fd;
}

// Of a list of strings, for posix_spawn.
std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& s : strings) list.push_back(const_cast<char*>(s.c_str()));
  list.push_back(nullptr);
  return list;
}

struct SpawnPlan {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnPlan() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

// Why a decoder ended that gave no result; "" when it ended in order.
std::string odd_end(const DecoderEnd& end, int timeout_ms, ErrorKind& kind) {
  kind = ErrorKind::kTooLarge;
  const int status = end.wait_status;
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (end.late != 0 || signal == SIGXCPU)
    return fmt::format("decoding took longer than {} s, the limit for one file", timeout_ms / 1000.0);
  if (signal == SIGXFSZ) return "what was decoded is larger than the limits allow";
  if (signal == SIGKILL) return "the system ended the decoder, most likely for want of memory";
  kind = ErrorKind::kBadMedia;
  if (signal != 0) return fmt::format("the decoder crashed on it: {}", ::strsignal(signal));
  if (WEXITSTATUS(status) != 0) return fmt::format("the decoder ended with code {}", WEXITSTATUS(status));
  return {};
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

class MediaProcess::Impl::Place {
 public:
  explicit Place(Impl& impl) : impl_(impl) {
    std::unique_lock lock(impl.places_mutex_);
    impl.place_free_.wait(lock, [&] { return impl.places_ > 0; });
    --impl.places_;
  }
  ~Place() {
    const std::lock_guard lock(impl_.places_mutex_);
    ++impl_.places_;
    impl_.place_free_.notify_one();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  Impl& impl_;
};

MediaProcess::MediaProcess(MediaProcessOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
MediaProcess::~MediaProcess() = default;

MediaProcess::Impl::Impl(MediaProcessOptions options)
    : options_(std::move(options)), places_(std::max(1, options_.max_at_once)) {
  if (options_.command.empty()) throw_error(ErrorKind::kBadRequest, "MediaProcessOptions::command is empty");
  DecodeJob trial;
  trial.kind = MediaKind::kAudio;
  trial.name = "trial";
  trial.drill = Drill::kForbidden;
  try {
    decode({}, trial);
  } catch (...) {
    stop();
    throw;
  }
}

MediaProcess::Impl::~Impl() {
  const std::lock_guard lock(mutex_);
  stop();
}

void MediaProcess::Impl::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair", errno);
  Fd ours(ends[0]), theirs(ends[1]);
  // Above what the actions below write to.
  const Fd source(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 10));
  if (source.get() < 0) fail("fcntl", errno);
  SpawnPlan plan;
  posix_spawn_file_actions_addopen(&plan.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&plan.files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&plan.files, source.get(), kOrderFd);
  posix_spawn_file_actions_addclosefrom_np(&plan.files, kOrderFd + 1);
  // A group of its own: Ctrl-C at a terminal is for the server, whose running requests may still decode.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&plan.attributes, &none);
  posix_spawnattr_setsigdefault(&plan.attributes, &all);
  posix_spawnattr_setflags(&plan.attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const std::vector<char*> arguments = pointers(options_.command), variables = pointers(options_.environment);
  const int failed = ::posix_spawn(&zygote_, arguments[0], &plan.files, &plan.attributes, arguments.data(),
                                   variables.data());
  if (failed != 0) {
    zygote_ = -1;
    fail(arguments[0], failed);
  }
  orders_ = std::move(ours);
  ++started_;
}

void MediaProcess::Impl::stop() {
  orders_.reset();  // the zygote sees that and ends
  if (zygote_ > 0) {
    ::kill(zygote_, SIGKILL);
    while (::waitpid(zygote_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  zygote_ = -1;
}

int64_t MediaProcess::Impl::order(const DecodeJob& job, int file, int result, int end) {
  OrderHead head{options_.timeout_ms};
  std::vector<uint8_t> packed = pack_job(job);
  iovec parts[2] = {{&head, sizeof head}, {packed.data(), packed.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(3 * sizeof(int));
  const int descriptors[3] = {file, result, end};
  std::memcpy(CMSG_DATA(rights), descriptors, sizeof descriptors);

  const std::lock_guard lock(mutex_);
  for (int attempt = 0;; ++attempt) {
    if (orders_.get() < 0) start();
    ssize_t sent = 0;
    do {
      sent = ::sendmsg(orders_.get(), &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return started_;
    const int why = errno;
    stop();  // it was ended from outside: another takes its place
    if (attempt == 1) fail("sendmsg", why);
  }
}

std::optional<DecoderEnd> MediaProcess::Impl::wait_for(int end, int64_t zygote) {
  pollfd ready{end, POLLIN, 0};
  int polled = 0;
  do {
    polled = ::poll(&ready, 1, options_.timeout_ms + kZygoteSlackMs);
  } while (polled < 0 && errno == EINTR);
  DecoderEnd how;
  if (polled > 0 && ::read(end, &how, sizeof how) == sizeof how) return how;
  const std::lock_guard lock(mutex_);
  if (zygote == started_) stop();
  return {};
}

Decoded MediaProcess::Impl::decode(Bytes file, const DecodeJob& job) {
  if (static_cast<int64_t>(file.size()) > job.limits.max_file_bytes) {
    throw_error(ErrorKind::kTooLarge, "{}: {} bytes, the limit is {}", job.name, file.size(),
                job.limits.max_file_bytes);
  }
  const Place place(*this);
  const Fd input = file_of(file);
  Fd result;
  std::optional<DecoderEnd> how;
  for (int attempt = 0; !how; ++attempt) {  // again where the zygote was ended from outside
    result = memory_file("decoded");
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe2", errno);
    const Fd end(ends[0]);
    Fd theirs(ends[1]);
    const int64_t zygote = order(job, input.get(), result.get(), theirs.get());
    theirs.reset();
    how = wait_for(end.get(), zygote);
    if (!how && attempt == 1)
      throw_error(ErrorKind::kIo, "{}: the process for decoding ended twice", job.name);
  }
  ErrorKind kind = ErrorKind::kBadMedia;
  if (const std::string why = odd_end(*how, options_.timeout_ms, kind); !why.empty()) {
    if (options_.on_failure) options_.on_failure(fmt::format("{}: {}", job.name, why));
    throw_error(kind, "{}: {}", job.name, why);
  }
  return read_decoded(result.get(), job);
}

}  // namespace tessera
