#pragma once
// Blocks of the prefix cache on disk: a file each, named when it is whole, checked when it is read.
#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

using KvBytes = std::vector<uint8_t>;

/// What a file says of itself. A block is up to 16 positions of one kind of layers.
struct CacheFile {
  uint64_t id = 0, parent = 0;  // of a block; parent 0: the first of a sequence
  bool sliding = false;
  int64_t begin = 0;           // position of its first key
  std::vector<uint64_t> keys;  // Sequence::keys()
  int64_t time = 0;            // scan(): when it was written; larger: later
};

/// Makes the folder if it is missing. Throws Error(kIo) when that fails or nothing can be written there.
void prepare_cache_folder(const std::string& directory);

class CacheFiles {
 public:
  /// `directory` is made if missing. `model_key`: of everything that the bytes depend on. Throws Error(kIo).
  CacheFiles(std::string directory, uint64_t model_key, int64_t full_bytes, int64_t sliding_bytes);

  /// All that are whole and of this model, by their heads; what is not is removed.
  std::vector<CacheFile> scan();
  /// Throws Error(kIo), for example on a full disk; nothing is left then.
  void write(const CacheFile& file, const KvBytes& bytes);
  /// Empty when the file is not what was written: it is removed.
  KvBytes read(const CacheFile& file);
  void remove(uint64_t id, bool sliding);
  int64_t file_bytes(bool sliding) const;

 private:
  std::string path(uint64_t id, bool sliding) const;

  std::string directory_;
  uint64_t model_key_;
  int64_t bytes_[2];  // of a block's full layers, sliding layers
};

}  // namespace tessera
