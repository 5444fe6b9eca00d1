#pragma once
#include <memory>

#include "server/api.h"

namespace tessera::server {

/// `chat`: text is in message.content, else in response.
std::unique_ptr<ReplyWriter> make_ollama_writer(const WriterParts& parts, bool chat);

}  // namespace tessera::server
