#pragma once
// Files: read-only memory maps and whole small files.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A read-only map of a whole file; unmapped by the destructor. Any thread may read. An empty file maps to an
/// empty span.
class FileMap {
 public:
  /// Throws Error(kIo) with the path and the system's reason (missing, a directory, no permission).
  explicit FileMap(const std::string& path);
  ~FileMap();
  FileMap(FileMap&& other) noexcept;
  FileMap& operator=(FileMap&& other) noexcept;
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

/// Asks for a part of a map to be read from the file while other things happen. Any thread.
void fetch_mapped(std::span<const uint8_t> part);
/// Gives back the memory of a part of a map; reading it again fetches it from the file. Any thread.
void release_mapped(std::span<const uint8_t> part);

bool file_exists(const std::string& path);

/// The whole file. Throws Error(kIo); Error(kTooLarge) above `max_bytes`.
std::string read_text_file(const std::string& path, int64_t max_bytes);
std::vector<uint8_t> read_binary_file(const std::string& path, int64_t max_bytes);
/// Writes the whole file, replacing it. Throws Error(kIo).
void write_file(const std::string& path, std::span<const uint8_t> bytes);

}  // namespace tessera
