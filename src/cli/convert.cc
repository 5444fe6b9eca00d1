// tessera convert: a model in another container.
#include "cli/command.h"
#include "cli/write_report.h"
#include "tessera/tessera.h"

namespace tessera::cli {
void add_convert(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "convert", "Write a model as Hugging Face, MLX or GGUF, without loss where there is a way.",
      "MODEL OUT --to FORMAT",
      "  tessera convert gemma.q4_0.gguf gemma-mlx --to mlx          # the same values, 4-bit groups of 32\n"
      "  tessera convert gemma-4-12B-it gemma-mlx8 --to mlx --bits 8 --group 64\n"
      "  tessera convert gemma-mlx gemma.gguf --to gguf --mmproj gemma.mmproj.gguf\n"
      "  tessera convert gemma.q8_0.gguf gemma-hf --to hf            # opened, in bfloat16\n"
      "\nIt says which matrices had no exact form in FORMAT and what they became.\n");
  auto options = std::make_shared<ConvertOptions>();
  command.add_option("MODEL", options->model, "Hugging Face or MLX directory, or GGUF file")
      ->type_name("")
      ->required();
  command.add_option("OUT", options->out, "directory to write, or GGUF file")->type_name("")->required();
  command.add_option("--to", options->to, "hf, mlx or gguf")
      ->type_name("FORMAT")
      ->required()
      ->check(CLI::IsMember({"hf", "mlx", "gguf"}));
  command
      .add_option("--type", options->type,
                  "of matrices without an exact form: bf16 (default) or f32; gguf: also those of quantize")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"q8_0", "q6_k", "q4_k", "q4_0", "bf16", "f32"}));
  command.add_option("--bits", options->bits, "mlx: quantise every matrix to 4 or 8 bits")
      ->type_name("N")
      ->check(CLI::IsMember({4, 8}));
  command
      .add_option("--group", options->group, "mlx: inputs that share a scale: 32, 64 or 128 (default: 64)")
      ->type_name("N")
      ->check(CLI::IsMember({32, 64, 128}));
  command
      .add_option("--mmproj", options->mmproj_out,
                  "gguf: also write vision and audio, as a file of their own")
      ->type_name("OUT2");
  command
      .add_option("--mmproj-in", options->mmproj,
                  "vision and audio of a .gguf MODEL (default: the mmproj*.gguf beside it)")
      ->type_name("FILE");
  command.add_option("-t,--threads", options->threads, "threads (default: one per core)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command.callback(
      [options, &action] { action = [options] { return write_model(*options, "converting", convert); }; });
}

}  // namespace tessera::cli
