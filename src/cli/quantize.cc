// tessera quantize: a model as GGUF.
#include "cli/command.h"
#include "cli/write_report.h"
#include "tessera/tessera.h"

namespace tessera::cli {
void add_quantize(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "quantize", "Write a model as GGUF, its matrices in fewer bits.", "MODEL OUT --type TYPE",
      "  tessera quantize gemma-4-12B-it gemma.q4_k.gguf --type q4_k\n"
      "  tessera quantize gemma-4-12B-it gemma.q8_0.gguf --type q8_0 --mmproj gemma.mmproj.gguf\n"
      "\nq8_0   8.5 bits a weight     all matrices Q8_0\n"
      "q6_k   6.6 bits              all matrices Q6_K\n"
      "q4_k   4.5 bits              all matrices Q4_K, the embedding Q6_K (llama.cpp's Q4_K_M\n"
      "                             keeps some of attn_v and ffn_down in Q6_K, too)\n"
      "q4_0   4.5 bits              all matrices Q4_0, the embedding Q6_K: for QAT checkpoints\n"
      "bf16, f32                    not quantised\n"
      "\nVectors are float32. Rows that are not whole blocks of a format become Q8_0 or BF16; it\n"
      "says so. The mmproj holds vision and audio: llama.cpp wants them in a file of their own.\n");
  auto options = std::make_shared<QuantizeOptions>();
  command.add_option("MODEL", options->model, "Hugging Face or MLX directory, or GGUF file")
      ->type_name("")
      ->required();
  command.add_option("OUT", options->out, "GGUF file to write")->type_name("")->required();
  command.add_option("--type", options->type, "q8_0, q6_k, q4_k, q4_0, bf16 or f32")
      ->type_name("TYPE")
      ->required()
      ->check(CLI::IsMember({"q8_0", "q6_k", "q4_k", "q4_0", "bf16", "f32"}));
  command
      .add_option("--mmproj", options->mmproj_out, "also write vision and audio, as a GGUF file of their own")
      ->type_name("OUT2");
  command
      .add_option("--mmproj-in", options->mmproj,
                  "vision and audio of a .gguf MODEL (default: the mmproj*.gguf beside it)")
      ->type_name("FILE");
  command.add_option("-t,--threads", options->threads, "threads (default: one per core)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command.callback(
      [options, &action] { action = [options] { return write_model(*options, "quantising", quantize); }; });
}

}  // namespace tessera::cli
