#pragma once
// Writes a safetensors file front to back: the header first (all names, types and shapes are known before),
// then the data of each tensor in the same order, in pieces of any size. Memory does not grow with the file.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/output_file.h"
#include "format/tensor_file.h"

namespace tessera {

class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    FileType type;
    std::vector<int64_t> shape;
  };
  /// Creates the file (base/output_file.h: under its name once it is finished) and writes the header. Throws
  /// Error(kIo).
  SafetensorsWriter(const std::string& path, const std::vector<Entry>& entries);

  /// Appends data; entries follow each other without gaps. Throws Error(kIo).
  void write(std::span<const uint8_t> bytes);
  /// Checks that exactly the declared bytes were written and closes the file. Throws Error(kIo).
  void finish();

 private:
  OutputFile file_;
  int64_t expected_bytes_ = 0, written_bytes_ = 0;
};

}  // namespace tessera
