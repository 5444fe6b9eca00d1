#pragma once
// What quantize and convert say at the end, on stderr.
#include <string>

#include "tessera/tessera.h"

namespace tessera::cli {

void print_write_report(const WriteReport& report, const std::string& out);

}  // namespace tessera::cli
