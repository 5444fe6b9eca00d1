#pragma once
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace tessera::test {

/// What an Error of `kind` says that `body` must throw.
template <typename Body>
std::string message_of(const Body& body, ErrorKind kind) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace tessera::test
