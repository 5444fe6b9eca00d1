#include "cli/write_report.h"

#include <fmt/format.h>

#include "cli/terminal.h"

namespace tessera::cli {

void print_write_report(const WriteReport& report, const std::string& out) {
  for (const std::string& note : report.notes) write_err(fmt::format("note: {}\n", note));
  std::string types;
  for (const TensorCount& count : report.dtypes)
    types += fmt::format("{}{} x {} ({})", types.empty() ? "" : ", ", count.tensors, count.dtype,
                         short_bytes(count.bytes));
  write_err(fmt::format("{}: {}: {}\n", out, short_bytes(report.bytes), types));
}

}  // namespace tessera::cli
