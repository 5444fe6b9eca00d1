#pragma once
// What `tessera bench --draft` prints.
#include <string>

#include "tessera/tessera.h"

namespace tessera::cli {

std::string draft_table(const DraftBenchRun& run);
std::string draft_json(const DraftBenchRun& run);

}  // namespace tessera::cli
