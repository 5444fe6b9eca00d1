#include "base/pack_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace tessera {
namespace {

constexpr int64_t kPage = 4096;
constexpr uint64_t kMagic = 0x314b434150535354;  // "TSSPACK1"

struct Header {
  uint64_t magic = kMagic, key = 0;
  int64_t file_bytes = 0;
};

constexpr uint64_t kHashStart = 0xcbf29ce484222325;

uint64_t hash(uint64_t h, std::string_view bytes) {  // FNV-1a
  for (const char c : bytes) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return h;
}

}  // namespace

std::unique_ptr<PackFile> PackFile::open(const std::string& path, uint64_t key, int64_t max_bytes,
                                         std::string& why) {
  std::unique_ptr<PackFile> file(new PackFile);
  file->path_ = path;
  file->key_ = key;
  const auto fail = [&](const char* what) {
    why = fmt::format("{}: {}: {}", path, what, std::strerror(errno));
    return nullptr;
  };
  Header header;
  struct stat info {};
  const int found = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (found >= 0 && fstat(found, &info) == 0 && info.st_size >= kPage &&
      pread(found, &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header) &&
      header.magic == kMagic && header.key == key && header.file_bytes == info.st_size) {
    void* map = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, found, 0);
    if (map != MAP_FAILED) {
      file->descriptor_ = found;
      file->data_ = static_cast<uint8_t*>(map);
      file->mapped_bytes_ = info.st_size;
      file->used_bytes_ = kPage;
      file->filled_ = true;
      madvise(map, static_cast<size_t>(info.st_size), MADV_WILLNEED);
      return file;
    }
  }
  if (found >= 0) close(found);

  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  file->part_path_ = fmt::format("{}.{}.part", path, getpid());
  file->descriptor_ = ::open(file->part_path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file->descriptor_ < 0) {
    file->part_path_.clear();
    return fail("cannot be written");
  }
  file->mapped_bytes_ = (max_bytes + kPage - 1) / kPage * kPage + kPage;
  // Reserved, not only sized: a disk that fills up under a map ends the process.
  errno = posix_fallocate(file->descriptor_, 0, file->mapped_bytes_);
  if (errno != 0) return fail(fmt::format("{} MiB are not to be had", file->mapped_bytes_ >> 20).c_str());
  void* map = mmap(nullptr, static_cast<size_t>(file->mapped_bytes_), PROT_READ | PROT_WRITE, MAP_SHARED,
                   file->descriptor_, 0);
  if (map == MAP_FAILED) return fail("cannot be mapped");
  file->data_ = static_cast<uint8_t*>(map);
  file->used_bytes_ = kPage;
  return file;
}

PackFile::~PackFile() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(mapped_bytes_));
  if (descriptor_ >= 0) close(descriptor_);
  if (!part_path_.empty()) unlink(part_path_.c_str());
}

uint8_t* PackFile::take(int64_t bytes) {
  const int64_t size = (bytes + kPage - 1) / kPage * kPage;
  if (size > mapped_bytes_ - used_bytes_) return nullptr;
  uint8_t* at = data_ + used_bytes_;
  used_bytes_ += size;
  return at;
}

void PackFile::finish() {
  if (filled_ || part_path_.empty()) return;
  const Header header{kMagic, key_, used_bytes_};
  if (ftruncate(descriptor_, used_bytes_) != 0) return;
  if (pwrite(descriptor_, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return;
  if (rename(part_path_.c_str(), path_.c_str()) == 0) part_path_.clear();
}

std::optional<PackFileName> name_pack_file(const std::string& directory, const std::string& stem,
                                           const std::vector<std::string>& sources, uint64_t layout_version) {
  uint64_t name = kHashStart, key = kHashStart + layout_version;
  for (const std::string& source : sources) {
    std::error_code failed;
    const auto absolute = std::filesystem::canonical(source, failed);
    const auto changed = std::filesystem::last_write_time(source, failed).time_since_epoch().count();
    if (failed) return {};
    const auto bytes = std::filesystem::file_size(source, failed);
    name = hash(name, absolute.string());
    key = hash(key, fmt::format("{}:{}:{};", absolute.string(), bytes, changed));
  }
  return PackFileName{fmt::format("{}/{}-{:016x}.pack", directory, stem, name), key};
}

}  // namespace tessera
