// tessera synth: a checkpoint of the real geometry with weights that follow from the tensors' names.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {
namespace {

int synth(SynthOptions options) {
  Progress progress("writing");
  options.on_progress = [&](double fraction) { progress.update(fraction); };
  synthesize(options);
  return kExitOk;
}

}  // namespace

void add_synth(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "synth",
      "Write a synthetic checkpoint: the 12B's geometry, weights computed from the tensors' names.",
      "DIR --layers L | --assistant",
      "  tessera synth synth6 --layers 6       # 4.9 GB, for measuring\n"
      "  tessera synth tiny --layers 12 --tiny\n"
      "  tessera synth synth6/assistant --assistant\n"
      "\nIt computes at full size and says nothing sensible. Its tokenizer is a stand-in:\n"
      "the published ids of control tokens, bytes and characters, and no words.\n");
  auto options = std::make_shared<SynthOptions>();
  command.add_option("DIR", options->directory, "directory to write; made if missing")
      ->type_name("")
      ->required();
  auto* layers = command.add_option("--layers", options->layers, "decoder layers (the real model has 48)")
                     ->type_name("L")
                     ->check(CLI::Range(1, 48));
  auto* assistant =
      command.add_flag("--assistant", options->assistant, "the drafter that goes with it: always 4 layers");
  command.add_flag("--tiny", options->tiny, "a small geometry instead of the 12B's");
  command.add_option("-t,--threads", options->threads, "threads (default: one per core)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command.callback([options, layers, assistant, &action] {
    if (layers->count() + assistant->count() != 1)
      throw CLI::RequiredError("one of --layers and --assistant");
    action = [options] { return synth(*options); };
  });
}

}  // namespace tessera::cli
