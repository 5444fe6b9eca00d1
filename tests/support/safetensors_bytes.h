#pragma once
// Safetensors files as byte strings, right and wrong ones.
#include <cstdint>
#include <string>

namespace tessera {

/// Length, header and data as given, without any check.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  return file + header + data;
}

/// 8 bytes of length that need not be true, then `rest`.
inline std::string with_length(uint64_t length, const std::string& rest) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(length >> (8 * i));
  return file + rest;
}

}  // namespace tessera
