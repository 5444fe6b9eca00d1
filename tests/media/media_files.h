#pragma once
// What the media tests share: fixture files (a missing one fails the test) and the check of an error.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera {

inline std::string fixture(const std::string& path) {
  return TESSERA_SOURCE_DIR "/tests/fixtures/" + path;
}

inline std::vector<uint8_t> read_fixture(const std::string& path) {
  std::ifstream file(fixture(path), std::ios::binary);
  if (!file) throw std::runtime_error("missing fixture " + fixture(path));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The statement throws Error of `wanted` kind whose text contains `part`.
template <typename Body>
void expect_error(const Body& body, ErrorKind wanted, const std::string& part, const char* file, int line) {
  try {
    body();
  } catch (const Error& error) {
    if (error.kind() == wanted && std::string(error.what()).find(part) != std::string::npos) return;
    ADD_FAILURE_AT(file, line) << "kind " << static_cast<int>(error.kind()) << ", expected "
                               << static_cast<int>(wanted) << " with \"" << part << "\": " << error.what();
    return;
  }
  ADD_FAILURE_AT(file, line) << "no error; expected one with \"" << part << '"';
}

}  // namespace tessera

#define EXPECT_ERROR(statement, kind, part) \
  ::tessera::expect_error([&] { (void)(statement); }, kind, part, __FILE__, __LINE__)
