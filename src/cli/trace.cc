// tessera trace: what the model computes for a sequence of parts, as safetensors, to compare with a
// reference.
#include "cli/command.h"
#include "cli/model_path.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

struct TraceFlags {
  std::string model;
  EngineFlags engine;
  TraceOptions options;
};

int run_trace(const TraceFlags& flags) {
  const auto engine = load_engine(resolve_model(flags.model), flags.engine);
  trace(*engine, flags.options);
  return kExitOk;
}

}  // namespace

void add_trace(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "trace",
      "Run a sequence of parts and write ids, embeddings, hidden states and logits as safetensors.",
      "[MODEL] --parts FILE --out FILE",
      "  tessera trace path/to/model --parts parts.json --out out.safetensors --greedy 16 --backend ref\n"
      "\nparts.json is a list; media paths are relative to it:\n"
      "  [\"text\", [\"image\", \"board.png\", 280], [\"audio\", \"note.wav\"], [\"ids\", [2, 105]]]\n");
  auto flags = std::make_shared<TraceFlags>();
  command.add_option("MODEL", flags->model, "model directory or .gguf file")->type_name("");
  add_model_flag(command, flags->model);
  command.add_option("--parts", flags->options.parts_path, "the sequence, JSON")
      ->type_name("FILE")
      ->required();
  command.add_option("--out", flags->options.out_path, "what was computed, safetensors")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--greedy", flags->options.greedy_tokens,
                  "go on for N tokens, always the likeliest; suppressed tokens never, end tokens ignored")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20));
  command.add_flag("--last", flags->options.last_only, "logits of the last position only");
  add_engine_flags(command, flags->engine);
  command.callback([flags, &action] { action = [flags] { return run_trace(*flags); }; });
}

}  // namespace tessera::cli
