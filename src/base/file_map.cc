#include "base/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.h"

namespace tessera {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

Descriptor open_regular(const std::string& path, int64_t& size) {
  Descriptor d{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (d.fd < 0) throw_error(ErrorKind::kIo, "{}: cannot open: {}", path, std::strerror(errno));
  struct stat info {};
  if (fstat(d.fd, &info) != 0) throw_error(ErrorKind::kIo, "{}: cannot stat: {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) throw_error(ErrorKind::kIo, "{}: is a directory, expected a file", path);
  size = info.st_size;
  return {std::exchange(d.fd, -1)};
}

template <typename Buffer>
Buffer read_whole(const std::string& path, int64_t max_bytes) {
  int64_t size = 0;
  const Descriptor d = open_regular(path, size);
  Buffer out;
  // Pipes and /dev/stdin have no size: read until the end, but never past the limit.
  constexpr size_t kStep = size_t{1} << 20;
  size_t used = 0;
  for (;;) {
    if (static_cast<int64_t>(used) > max_bytes || size > max_bytes)
      throw_error(ErrorKind::kTooLarge, "{}: {} bytes or more, the limit is {}", path,
                  std::max<int64_t>(size, static_cast<int64_t>(used)), max_bytes);
    out.resize(std::max<size_t>(used + kStep, static_cast<size_t>(size)));
    const ssize_t got = read(d.fd, out.data() + used, out.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_error(ErrorKind::kIo, "{}: cannot read: {}", path, std::strerror(errno));
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  out.resize(used);
  return out;
}

}  // namespace

FileMap::FileMap(const std::string& path) : path_(path) {
  int64_t size = 0;
  const Descriptor d = open_regular(path, size);
  size_ = static_cast<size_t>(size);
  if (size_ == 0) return;
  void* p = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, d.fd, 0);
  if (p == MAP_FAILED)
    throw_error(ErrorKind::kIo, "{}: cannot map {} bytes: {}", path, size_, std::strerror(errno));
  data_ = static_cast<const uint8_t*>(p);
}

FileMap::~FileMap() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

FileMap::FileMap(FileMap&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

FileMap& FileMap::operator=(FileMap&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

namespace {
constexpr uintptr_t kPage = 4096;  // larger pages make the calls fail, which does no harm
}

void fetch_mapped(std::span<const uint8_t> part) {
  const auto begin = reinterpret_cast<uintptr_t>(part.data()) / kPage * kPage,
             end = reinterpret_cast<uintptr_t>(part.data() + part.size());
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

void release_mapped(std::span<const uint8_t> part) {
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + kPage - 1) / kPage * kPage,
             end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

bool file_exists(const std::string& path) {
  return access(path.c_str(), F_OK) == 0;
}

std::string read_text_file(const std::string& path, int64_t max_bytes) {
  return read_whole<std::string>(path, max_bytes);
}

std::vector<uint8_t> read_binary_file(const std::string& path, int64_t max_bytes) {
  return read_whole<std::vector<uint8_t>>(path, max_bytes);
}

void write_file(const std::string& path, std::span<const uint8_t> bytes) {
  const auto closer = [](FILE* f) { std::fclose(f); };
  std::unique_ptr<FILE, decltype(closer)> f(std::fopen(path.c_str(), "wb"), closer);
  if (!f) throw_error(ErrorKind::kIo, "{}: cannot create: {}", path, std::strerror(errno));
  if (std::fwrite(bytes.data(), 1, bytes.size(), f.get()) != bytes.size() || std::fflush(f.get()) != 0)
    throw_error(ErrorKind::kIo, "{}: cannot write {} bytes: {}", path, bytes.size(), std::strerror(errno));
}

}  // namespace tessera
