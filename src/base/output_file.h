#pragma once
// A file that is there whole or not at all.
#include <cstdint>
#include <cstdio>
#include <string>

namespace tessera {

/// Writes PATH.part and renames it to PATH in finish(); without finish() the destructor removes it. What is
/// there already and no regular file (a device, a pipe) is written to directly.
class OutputFile {
 public:
  /// Throws Error(kIo).
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Throws Error(kIo).
  void write(const void* data, size_t bytes);
  void finish();
  const std::string& path() const { return path_; }

 private:
  void discard();

  std::string path_, written_path_;
  std::FILE* file_ = nullptr;
};

}  // namespace tessera
