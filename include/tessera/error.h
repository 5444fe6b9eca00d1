#pragma once
// What ends a load or a request.
#include <stdexcept>
#include <string>

namespace tessera {

enum class ErrorKind {
  kIo,          // a file is missing or cannot be read or written
  kBadModel,    // a model file contradicts itself or its config
  kBadMedia,    // an image, sound or video that cannot be decoded
  kBadRequest,  // the caller's request cannot be carried out as stated
  kTooLarge,    // the request is valid but over a limit; the message has both numbers
  kDevice,      // the backend failed
  kBusy,        // too many requests wait already; the same request may be tried again later
};

/// What ends a load or a request. what() says where, what was found, what was expected and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace tessera
