#pragma once
#include <memory>

#include "server/api.h"

namespace tessera::server {

std::unique_ptr<ReplyWriter> make_responses_writer(const WriterParts& parts);

}  // namespace tessera::server
