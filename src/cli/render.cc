// tessera render: a chat request on stdin to the prompt text on stdout, byte for byte.
#include "cli/command.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {
namespace {

constexpr int64_t kMaxInputBytes = int64_t{256} << 20;

int render() {
  write_out(render_chat(read_stdin(kMaxInputBytes)));
  return kExitOk;
}

}  // namespace

void add_render(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "render", "Turn a chat request (JSON on standard input) into the prompt text of Gemma 4.", "",
      "  echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hello.\"}]}' | tessera render\n"
      "\nKeys: messages, tools, enable_thinking, preserve_thinking, add_generation_prompt (true when "
      "absent).\n"
      "Nothing is added to the prompt, not even a last newline.\n");
  command.callback([&action] { action = render; });
}

}  // namespace tessera::cli
