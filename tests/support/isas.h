#pragma once
// The cpu backend's instruction sets that this machine runs.
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"

namespace tessera::test {

inline std::vector<std::string> isas() {
  std::vector<std::string> out;
  for (const char* isa : {"portable", "avx2", "avxvnni", "avx512", "amx", "neon"}) try {
      make_cpu_backend(1, isa);
      out.emplace_back(isa);
    } catch (const Error&) {  // this CPU lacks it
    }
  return out;
}

}  // namespace tessera::test
