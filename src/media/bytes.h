#pragma once
// Bounded reads from file bytes: past the end reads as zero, so callers check sizes where it matters.
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tessera {

using Bytes = std::span<const uint8_t>;

inline uint8_t byte_at(Bytes b, size_t at) {
  return at < b.size() ? b[at] : uint8_t{0};
}
inline uint32_t le16(Bytes b, size_t at) {
  return byte_at(b, at) | (uint32_t{byte_at(b, at + 1)} << 8);
}
inline uint32_t be16(Bytes b, size_t at) {
  return (uint32_t{byte_at(b, at)} << 8) | byte_at(b, at + 1);
}
inline uint32_t le24(Bytes b, size_t at) {
  return le16(b, at) | (uint32_t{byte_at(b, at + 2)} << 16);
}
inline uint32_t le32(Bytes b, size_t at) {
  return le16(b, at) | (le16(b, at + 2) << 16);
}
inline uint32_t be32(Bytes b, size_t at) {
  return (be16(b, at) << 16) | be16(b, at + 2);
}

/// Whether `text` stands at `at`.
inline bool has(Bytes b, size_t at, std::string_view text) {
  return at <= b.size() && text.size() <= b.size() - at &&
         std::memcmp(b.data() + at, text.data(), text.size()) == 0;
}

}  // namespace tessera
