#pragma once
// Base64 (RFC 4648 §4): standard alphabet, padded.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

std::string base64_encode(std::span<const uint8_t> bytes);
/// White space is skipped; padding may be missing. Throws Error(kBadRequest) with the position of what is no
/// Base64.
std::vector<uint8_t> base64_decode(std::string_view text);

}  // namespace tessera
