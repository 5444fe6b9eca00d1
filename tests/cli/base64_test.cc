#include "base/base64.h"

#include <gtest/gtest.h>

#include <random>

#include "tessera/tessera.h"

namespace tessera {
namespace {

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

TEST(Base64, VectorsOfRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(base64_encode(bytes_of(plain)), encoded);
    EXPECT_EQ(base64_decode(encoded), bytes_of(plain));
  }
  EXPECT_EQ(base64_decode(" Zm9v\r\nYg"), bytes_of("foob")) << "white space, no padding";
}

TEST(Base64, RandomBytesComeBack) {
  const uint32_t seed = 20261122;
  std::mt19937 random(seed);
  for (int i = 0; i < 500; ++i) {
    std::vector<uint8_t> bytes(random() % 300);
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    ASSERT_EQ(base64_decode(base64_encode(bytes)), bytes) << "seed " << seed << ", round " << i;
  }
}

TEST(Base64, WhatIsNoBase64IsRefused) {
  for (const char* text : {"Z", "Zm9vY", "Zg==Zg", "Zm9v!", "Zm9v-_", "Z===", "\xff"}) {
    EXPECT_THROW(base64_decode(text), Error) << text;
  }
}

}  // namespace
}  // namespace tessera
