#pragma once
// What quantize and convert have in common: a progress bar, and on stderr what was written.
#include <string>

#include "cli/command.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {

void print_write_report(const WriteReport& report, const std::string& out);

/// `doing`: "quantising"; `write`: quantize or convert.
template <typename Options>
int write_model(Options options, const char* doing, WriteReport (*write)(const Options&)) {
  WriteReport report;
  {
    Progress progress(doing);
    options.on_progress = [&](double fraction) { progress.update(fraction); };
    report = write(options);
  }
  print_write_report(report, options.out);
  return kExitOk;
}

}  // namespace tessera::cli
