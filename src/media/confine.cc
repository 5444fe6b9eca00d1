// The only file that uses libseccomp.
#include "media/confine.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TESSERA_SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TESSERA_SHADOW_MEMORY 1
#endif
#endif

namespace tessera {
namespace {

[[noreturn]] void fail(const char* what, int error) {
  throw_error(ErrorKind::kIo, "cannot confine a process: {}: {}", what, std::strerror(error));
}

// `slack`: how far the limit that ends the process lies beyond the one that warns it by a signal.
void limit(__rlimit_resource resource, const char* what, uint64_t most, uint64_t slack = 0) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) fail(what, errno);
  const rlimit next{std::min<rlim_t>(now.rlim_max, most), std::min<rlim_t>(now.rlim_max, most + slack)};
  if (::setrlimit(resource, &next) != 0) fail(what, errno);
}

#ifndef TESSERA_SHADOW_MEMORY
int64_t address_space_bytes() {
  int64_t pages = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "r"),
                                                             std::fclose);
  if (!file || std::fscanf(file.get(), "%ld", &pages) != 1) fail("/proc/self/statm", errno);
  return pages * ::sysconf(_SC_PAGESIZE);
}
#endif

scmp_arg_cmp equal(unsigned argument, uint64_t value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}

scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

struct Rule {
  int call;
  std::vector<scmp_arg_cmp> where;
};

// What decoders, the C library's memory and locks, and abort() need, and no more.
std::vector<Rule> allowed_calls() {
  const scmp_arg_cmp no_code = masked(2, PROT_EXEC, 0);
  return {
      {SCMP_SYS(mmap), {no_code, masked(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
      {SCMP_SYS(mprotect), {no_code}},
      {SCMP_SYS(munmap), {}},
      {SCMP_SYS(mremap), {}},
      {SCMP_SYS(madvise), {}},
      {SCMP_SYS(brk), {}},
      {SCMP_SYS(write), {}},
      {SCMP_SYS(futex), {}},
      {SCMP_SYS(sched_yield), {}},
      {SCMP_SYS(sched_getaffinity), {}},
      {SCMP_SYS(getrandom), {}},
      {SCMP_SYS(clock_gettime), {}},
      {SCMP_SYS(gettimeofday), {}},
      {SCMP_SYS(getpid), {}},
      {SCMP_SYS(gettid), {}},
      {SCMP_SYS(rt_sigprocmask), {}},
      {SCMP_SYS(rt_sigreturn), {}},
      {SCMP_SYS(tgkill), {equal(0, static_cast<uint64_t>(::getpid()))}},
      {SCMP_SYS(restart_syscall), {}},
      {SCMP_SYS(exit), {}},
      {SCMP_SYS(exit_group), {}},
#ifdef TESSERA_SHADOW_MEMORY
      // The sanitizers' runtime asks for the first whenever a stack is left, and writes an object into a pipe
      // to see whether it can be read, before it judges its type.
      {SCMP_SYS(sigaltstack), {equal(0, 0)}},
      {SCMP_SYS(pipe2), {}},
      {SCMP_SYS(close), {}},
#endif
  };
}

void filter_calls() {
  // Calls of another architecture's numbers end the process: libseccomp's default.
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                                seccomp_release);
  if (!filter) fail("seccomp_init", ENOMEM);
  for (const Rule& rule : allowed_calls()) {
    const int failed = seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, rule.call,
                                              static_cast<unsigned>(rule.where.size()), rule.where.data());
    if (failed < 0) fail("seccomp_rule_add", -failed);
  }
  if (const int failed = seccomp_load(filter.get()); failed < 0) fail("seccomp_load", -failed);
}

}  // namespace

void confine(const Confinement& c) {
#ifndef TESSERA_SHADOW_MEMORY  // sanitizers map terabytes, and open pipes
  limit(RLIMIT_AS, "RLIMIT_AS", static_cast<uint64_t>(address_space_bytes() + c.memory_bytes));
  limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 0);  // no new descriptors, whatever the filter says
#endif
  limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", static_cast<uint64_t>(c.output_bytes));
  limit(RLIMIT_CPU, "RLIMIT_CPU", static_cast<uint64_t>(c.cpu_s), 1);
  limit(RLIMIT_CORE, "RLIMIT_CORE", 0);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail("PR_SET_DUMPABLE", errno);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("PR_SET_NO_NEW_PRIVS", errno);
  filter_calls();
}

std::string escapes() {
  std::string through;
  // Refused by the filter, not for some other reason that need not hold elsewhere.
  const auto attempt = [&](const char* name, long result) {
    if (result != -1 || errno != EPERM) through += (through.empty() ? "" : ", ") + std::string(name);
  };
  open_how how{};
  char* const nothing[] = {nullptr};
  const char* const file = "/proc/escaped";
  attempt("openat", ::syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY, 0));
  attempt("openat of a new file", ::syscall(SYS_openat, AT_FDCWD, file, O_CREAT | O_WRONLY, 0600));
  attempt("openat2", ::syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how));
  attempt("memfd_create", ::syscall(SYS_memfd_create, "x", 0));
  attempt("socket of IPv4", ::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
  attempt("socket of IPv6", ::syscall(SYS_socket, AF_INET6, SOCK_DGRAM, 0));
  attempt("socket of Unix", ::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
  attempt("connect", ::syscall(SYS_connect, 4, nullptr, 0));
#ifndef TESSERA_SHADOW_MEMORY
  attempt("pipe2", ::syscall(SYS_pipe2, nullptr, 0));
#endif
  attempt("dup", ::syscall(SYS_dup, 4));
  attempt("read", ::syscall(SYS_read, 4, nullptr, 0));
  attempt("execve", ::syscall(SYS_execve, "/", nothing, nothing));
  attempt("clone", ::syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));  // refused by the kernel, too: EINVAL
  attempt("ptrace", ::syscall(SYS_ptrace, PTRACE_PEEKDATA, 0, 0, 0));
  attempt("kill", ::syscall(SYS_kill, ::syscall(SYS_getpid), 0));
  attempt("unlinkat", ::syscall(SYS_unlinkat, AT_FDCWD, file, 0));
  attempt("mkdirat", ::syscall(SYS_mkdirat, AT_FDCWD, file, 0700));
  attempt("readlinkat", ::syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", &how, sizeof how));
  attempt("setrlimit", ::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &how));
  attempt("prctl", ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  // As the C library's mmap() would be: -1, or an address.
  const long code =
      ::syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  attempt("code in new memory", code == -1 ? -1 : 0);
  return through;
}

}  // namespace tessera
