#pragma once
// A file of derived data that a later start maps instead of making it again: made under another name, renamed
// when whole.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// One thread. Pieces are taken in the same order by the run that fills the file and by those that find it
/// filled.
class PackFile {
 public:
  /// Maps `path` when it is whole and has this `key`. Otherwise starts a new one, its folder made and room
  /// for `max_bytes` reserved on the disk. nullptr when that is not possible (no room, no right to write):
  /// `why` says so.
  static std::unique_ptr<PackFile> open(const std::string& path, uint64_t key, int64_t max_bytes,
                                        std::string& why);
  /// Unmaps; a new file that was not finished is removed.
  ~PackFile();
  PackFile(const PackFile&) = delete;
  PackFile& operator=(const PackFile&) = delete;

  bool filled() const { return filled_; }
  const std::string& path() const { return path_; }
  /// The next `bytes`, 4 KiB-aligned: as they were when filled(), else zeroed and to be written. nullptr when
  /// the file has no room for them. Valid as long as this.
  uint8_t* take(int64_t bytes);
  /// All pieces are written: gives a new file its name. Keeps going without when that fails.
  void finish();

 private:
  PackFile() = default;

  std::string path_, part_path_;
  uint64_t key_ = 0;
  int descriptor_ = -1;
  uint8_t* data_ = nullptr;
  int64_t mapped_bytes_ = 0, used_bytes_ = 0;
  bool filled_ = false;
};

struct PackFileName {
  std::string path;
  uint64_t key = 0;
};

/// What data derived from `sources` are kept as: one path for the same source paths, so that a source that
/// changes replaces its own; a key of the sources' paths, sizes and times and of `layout_version`. Empty when
/// a source cannot be looked at.
std::optional<PackFileName> name_pack_file(const std::string& directory, const std::string& stem,
                                           const std::vector<std::string>& sources, uint64_t layout_version);

}  // namespace tessera
