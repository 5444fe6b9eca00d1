#include "engine/cache_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "backend/kv_layer.h"
#include "base/error.h"
#include "base/output_file.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'T', 'S', 'K', 'V', 'B', 'L', 'K', '\n'};
constexpr uint32_t kVersion = 1;

// The file: this, then the bytes of KvCache::read_block. Numbers as the machine has them.
struct Head {
  char magic[8];
  uint32_t version, sliding;
  uint64_t model_key, id, parent;
  int64_t begin, bytes;
  uint64_t count;
  uint64_t keys[kKvBlock];
  uint64_t bytes_sum, head_sum;  // head_sum: of all that stands before it
};

// Against damage, not against malice: whoever writes to the folder may as well write to the program.
uint64_t checksum(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint64_t h = 0x9E3779B97F4A7C15U ^ size;
  for (; size >= 8; bytes += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    h = std::rotl((h ^ word) * 0xBF58476D1CE4E5B9U, 29);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, bytes, size);
  h = (h ^ rest) * 0x94D049BB133111EBU;
  return h ^ (h >> 32);
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

std::optional<Head> read_head(std::FILE* file, uint64_t model_key) {
  Head head;
  if (std::fread(&head, sizeof head, 1, file) != 1) return {};
  if (std::memcmp(head.magic, kMagic, sizeof kMagic) != 0 || head.version != kVersion ||
      head.model_key != model_key || head.head_sum != checksum(&head, offsetof(Head, head_sum)))
    return {};
  if (head.sliding > 1 || head.id == 0 || head.count < 1 || head.count > kKvBlock || head.begin < 0 ||
      head.begin % kKvBlock != 0)
    return {};
  return head;
}

}  // namespace

void prepare_cache_folder(const std::string& directory) {
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (!failed && ::access(directory.c_str(), W_OK | X_OK) != 0) failed.assign(errno, std::generic_category());
  if (failed)
    throw_error(ErrorKind::kIo, "{}: the cache cannot be kept there: {}; name another folder for it",
                directory, failed.message());
}

CacheFiles::CacheFiles(std::string directory, uint64_t model_key, int64_t full_bytes, int64_t sliding_bytes)
    : directory_(fmt::format("{}/kv-{:016x}", directory, model_key)),
      model_key_(model_key),
      bytes_{full_bytes, sliding_bytes} {
  prepare_cache_folder(directory_);
}

std::string CacheFiles::path(uint64_t id, bool sliding) const {
  return fmt::format("{}/{:016x}-{}.kv", directory_, id, sliding ? "sliding" : "full");
}

int64_t CacheFiles::file_bytes(bool sliding) const {
  return bytes_[sliding ? 1 : 0] + static_cast<int64_t>(sizeof(Head));
}

std::vector<CacheFile> CacheFiles::scan() {
  std::vector<CacheFile> found;
  std::error_code failed;
  for (fs::directory_iterator it(directory_, failed), end; !failed && it != end; it.increment(failed)) {
    const fs::path& at = it->path();
    const File file(std::fopen(at.c_str(), "rb"));
    const auto head = file ? read_head(file.get(), model_key_) : std::nullopt;
    std::error_code unknown;
    if (head && at == path(head->id, head->sliding != 0) && head->bytes == bytes_[head->sliding] &&
        static_cast<int64_t>(fs::file_size(at, unknown)) == file_bytes(head->sliding != 0)) {
      found.push_back({head->id,
                       head->parent,
                       head->sliding != 0,
                       head->begin,
                       {head->keys, head->keys + head->count},
                       fs::last_write_time(at, unknown).time_since_epoch().count()});
    } else if (it->is_regular_file(unknown)) {
      fs::remove(at, unknown);
    }
  }
  return found;
}

void CacheFiles::write(const CacheFile& file, const KvBytes& bytes) {
  Head head{};
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  head.version = kVersion;
  head.sliding = file.sliding ? 1 : 0;
  head.model_key = model_key_;
  head.id = file.id;
  head.parent = file.parent;
  head.begin = file.begin;
  head.bytes = static_cast<int64_t>(bytes.size());
  head.count = file.keys.size();
  std::copy(file.keys.begin(), file.keys.end(), head.keys);
  head.bytes_sum = checksum(bytes.data(), bytes.size());
  head.head_sum = checksum(&head, offsetof(Head, head_sum));
  OutputFile out(path(file.id, file.sliding));
  out.write(&head, sizeof head);
  out.write(bytes.data(), bytes.size());
  out.finish();
}

KvBytes CacheFiles::read(const CacheFile& wanted) {
  const File file(std::fopen(path(wanted.id, wanted.sliding).c_str(), "rb"));
  if (file) {
    const auto head = read_head(file.get(), model_key_);
    KvBytes bytes(static_cast<size_t>(bytes_[wanted.sliding ? 1 : 0]));
    if (head && head->id == wanted.id && head->parent == wanted.parent && head->begin == wanted.begin &&
        head->bytes == static_cast<int64_t>(bytes.size()) &&
        std::vector<uint64_t>(head->keys, head->keys + head->count) == wanted.keys &&
        std::fread(bytes.data(), 1, bytes.size(), file.get()) == bytes.size() &&
        checksum(bytes.data(), bytes.size()) == head->bytes_sum)
      return bytes;
  }
  remove(wanted.id, wanted.sliding);
  return {};
}

void CacheFiles::remove(uint64_t id, bool sliding) {
  std::error_code ignored;
  fs::remove(path(id, sliding), ignored);
}

}  // namespace tessera
