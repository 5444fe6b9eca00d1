// The hidden command that the server starts for decoding media: no options, no terminal, no model.
#include "cli/command.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {

void add_media_process(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("media-process", "Used by tessera serve.");
  command->group("");
  command->callback([&action] {
    action = [] {
      const int code = run_media_process();
      if (code == 2) write_err("tessera: error: media-process is started by tessera serve, for decoding\n");
      return code;
    };
  });
}

}  // namespace tessera::cli
