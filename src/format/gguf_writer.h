#pragma once
// Writes a GGUF file, version 3, front to back (docs/spec/formats.md §2): metadata and tensor headers first,
// then the data of each tensor in the same order, in pieces of any size. Memory grows with the metadata only.
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/output_file.h"
#include "format/tensor_file.h"

namespace tessera {

/// Metadata in the order it is given. Each key once.
class GgufHeader {
 public:
  /// T: (u)int8_t … (u)int64_t, float, double; stored as that type.
  template <typename T>
  void number(std::string_view key, T value);
  template <typename T>
  void numbers(std::string_view key, std::span<const T> values);
  void boolean(std::string_view key, bool value);
  void booleans(std::string_view key, const std::vector<bool>& values);
  void text(std::string_view key, std::string_view value);
  void texts(std::string_view key, std::span<const std::string_view> values);

  /// A value as it lies in another file: `type` of the value or of an array's elements.
  void copy(std::string_view key, uint32_t type, bool is_array, uint64_t count,
            std::span<const uint8_t> bytes);

  bool has(std::string_view key) const { return keys_.contains(key); }
  uint64_t count() const { return keys_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view key, uint32_t type);
  void begin_array(std::string_view key, uint32_t type, size_t count);

  std::set<std::string, std::less<>> keys_;
  std::string bytes_;  // as they go into the file
};

class GgufWriter {
 public:
  struct Entry {
    std::string name;            // at most 63 bytes, each once
    FileType type;               // F32, F16, BF16 or a block type
    std::vector<int64_t> shape;  // row-major, 1 to 4 sizes; the file has them the other way round
  };
  static constexpr int64_t kAlignment = 32;

  /// Creates the file (base/output_file.h: under its name once it is finished) and writes the header. Throws
  /// Error(kIo).
  GgufWriter(const std::string& path, const GgufHeader& header, const std::vector<Entry>& entries);

  /// Bytes of an entry's data.
  static int64_t bytes_of(const Entry& entry);
  /// Bytes of the whole file.
  int64_t file_bytes() const { return file_bytes_; }

  /// Appends data; a piece may go over the end of a tensor into the next. Throws Error(kIo).
  void write(std::span<const uint8_t> bytes);
  /// Checks that exactly the declared bytes were written and closes the file. Throws Error(kIo).
  void finish();

 private:
  void pad();

  OutputFile file_;
  std::vector<int64_t> sizes_;  // of each tensor, without padding
  size_t current_ = 0;
  int64_t written_ = 0;  // of the current tensor
  int64_t file_bytes_ = 0;
};

}  // namespace tessera
