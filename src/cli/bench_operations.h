#pragma once
// What `tessera bench --operations` prints.
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera::cli {

struct OperationReport {
  std::string model, format;  // as BenchReport
  std::vector<OperationBenchRun> runs;
  MachineLimits limits;
};

std::string operations_table(const OperationReport& report);
std::string operations_json(const OperationReport& report);

}  // namespace tessera::cli
