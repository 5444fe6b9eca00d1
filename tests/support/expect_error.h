#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera {

/// Runs `body`, which must throw Error of `kind` whose message has every one of `parts`.
template <typename Body>
void expect_error(ErrorKind kind, const std::vector<std::string>& parts, Body&& body) {
  try {
    body();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    for (const std::string& part : parts)
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
          << "\"" << part << "\" not in: " << e.what();
  }
}

}  // namespace tessera
