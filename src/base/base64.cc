#include "base/base64.h"

#include <array>

#include "base/error.h"

namespace tessera {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr uint8_t kNone = 255;

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  for (auto& value : values) value = kNone;
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr auto kValues = make_values();

}  // namespace

std::string base64_encode(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t group = uint32_t{bytes[i]} << 16 | (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0) |
                           (left > 2 ? uint32_t{bytes[i + 2]} : 0);
    text += kAlphabet[group >> 18];
    text += kAlphabet[group >> 12 & 63];
    text += left > 1 ? kAlphabet[group >> 6 & 63] : '=';
    text += left > 2 ? kAlphabet[group & 63] : '=';
  }
  return text;
}

std::vector<uint8_t> base64_decode(std::string_view text) {
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  uint32_t group = 0;
  int digits = 0, padding = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const uint8_t value = kValues[static_cast<uint8_t>(c)];
    if (value == kNone || padding > 0) {
      throw_error(ErrorKind::kBadRequest, "Base64: byte {:#04x} at {} is not part of it",
                  static_cast<unsigned>(static_cast<uint8_t>(c)), i);
    }
    group = group << 6 | value;
    if (++digits == 4) {
      bytes.insert(bytes.end(), {static_cast<uint8_t>(group >> 16), static_cast<uint8_t>(group >> 8),
                                 static_cast<uint8_t>(group)});
      group = 0;
      digits = 0;
    }
  }
  if (digits == 1 || padding > 2)
    throw_error(ErrorKind::kBadRequest, "Base64: {} characters are no whole number of bytes", text.size());
  if (digits >= 2) bytes.push_back(static_cast<uint8_t>(group >> (digits == 2 ? 4 : 10)));
  if (digits == 3) bytes.push_back(static_cast<uint8_t>(group >> 2));
  return bytes;
}

}  // namespace tessera
