#include "cli/options.h"

#include "cli/model_path.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

const std::vector<int> kBudgets = {70, 140, 280, 560, 1120};

template <typename T>
CLI::Option* add_engine_flag(CLI::App& command, const char* name, T& value, const char* help) {
  return command.add_option(name, value, help)->group("Engine");
}

}  // namespace

void add_model_flag(CLI::App& command, std::string& model) {
  command
      .add_option("-m,--model", model,
                  "model: a directory (config.json, tokenizer.json, *.safetensors) or a .gguf file")
      ->type_name("PATH");
}

void add_mmproj_flag(CLI::App& command, std::string& mmproj) {
  command
      .add_option("--mmproj", mmproj,
                  "vision and audio of a .gguf model (default: the mmproj*.gguf beside it)")
      ->type_name("FILE")
      ->group("Engine");
}

void add_engine_flags(CLI::App& command, EngineFlags& flags) {
  add_engine_flag(command, "-c,--ctx", flags.options.context_tokens,
                  "tokens of context to keep room for (default: the model's, at most 8192)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  add_chunk_flag(command, flags);
  add_compute_flags(command, flags);
  add_mmproj_flag(command, flags.options.mmproj_path);
  add_draft_flags(command, flags.options);
}

void add_draft_flags(CLI::App& command, EngineOptions& options) {
  add_engine_flag(command, "--draft-model", options.draft_model,
                  "the model's drafter, a directory or .gguf file (default: one beside the model)")
      ->type_name("PATH");
  command
      .add_option_function<std::string>(
          "--draft",
          [&options](const std::string& text) {
            options.draft = text == "auto" ? -1 : text == "off" ? 0 : std::stoi(text);
          },
          "tokens to draft a step: auto (what pays, measured), off, or 1 to 8 (default: auto)")
      ->type_name("K")
      ->group("Engine")
      ->check(CLI::IsMember({"auto", "off", "1", "2", "3", "4", "5", "6", "7", "8"}));
  command
      .add_option_function<std::string>(
          "--draft-position",
          [&options](const std::string& text) { options.draft_position = text == "L-1" ? 1 : 2; },
          "position of the drafter's queries: L-1 or L-2 (default: whichever accepts more)")
      ->type_name("L-1|L-2")
      ->group("Engine")
      ->check(CLI::IsMember({"L-1", "L-2"}));
}

void add_chunk_flag(CLI::App& command, EngineFlags& flags) {
  add_engine_flag(command, "--chunk", flags.options.chunk_tokens, "tokens per prefill step (default: 512)")
      ->type_name("N")
      ->check(CLI::Range(1, 16384));
}

void add_compute_flags(CLI::App& command, EngineFlags& flags) {
  auto& o = flags.options;
  add_engine_flag(command, "-t,--threads", o.threads, "threads (default: one per physical core)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  add_engine_flag(command, "--backend", o.backend,
                  "auto, cuda, cpu, or ref: plain float32, slow, the oracle (default: auto)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"auto", "cuda", "cpu", "ref"}));
  add_engine_flag(command, "--device", o.device, "card of cuda, as the driver counts (default: 0)")
      ->type_name("N")
      ->check(CLI::Range(0, 1023));
  add_engine_flag(command, "--gpus", o.gpus, "cards from --device on that compute as one (default: 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 64));
  add_engine_flag(command, "--gpu-layers", o.gpu_layers,
                  "the first N layers on the card, the rest on the CPU (default: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1024));
  add_engine_flag(command, "--isa", o.isa,
                  "instruction set: portable, avx2, avxvnni, avx512, amx or neon (default: the best here)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"portable", "avx2", "avxvnni", "avx512", "amx", "neon"}));
  command
      .add_flag("--no-pack", flags.no_pack,
                "do not keep packed weights for the next start (~/.cache/tessera)")
      ->group("Engine");
  command.add_flag("--pin", o.pin_threads, "keep each thread on a core of its own")->group("Engine");
  command
      .add_flag("--mlock", o.lock_memory,
                "take weights and KV cache at once and never let them be swapped out")
      ->group("Engine");
  add_kv_flag(command, o.kv);
}

void add_kv_flag(CLI::App& command, std::string& kv) {
  add_engine_flag(command, "--kv", kv,
                  "KV cache: f32, bf16 or q8_0 (default: bf16 for quantised models and on cuda, else f32)")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"f32", "bf16", "q8_0"}));
}

std::shared_ptr<Engine> load_engine(const std::string& model, const EngineFlags& flags) {
  Progress progress("loading");
  EngineOptions options = flags.options;
  options.pack_dir = flags.no_pack ? "" : pack_directory();
  options.on_progress = [&](double fraction) { progress.update(fraction); };
  return Engine::load(model, options);
}

void add_sampling_flags(CLI::App& command, SamplingFlags& flags) {
  auto& o = flags.options;
  auto& s = o.sampling;
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->group("Sampling")->type_name(type);
  };
  add("-n,--max-tokens", o.max_tokens, "end the answer after N tokens (default: when the model ends it)", "N")
      ->check(CLI::Range(1, 1 << 24));
  add("--temp", flags.temperature, "temperature; 0 always takes the likeliest token (default: the model's)",
      "T")
      ->check(CLI::Range(0.0F, 100.0F));
  add("--top-k", flags.top_k, "choose among the K likeliest tokens; 0: all (default: the model's)", "K")
      ->check(CLI::Range(0, 1 << 24));
  add("--top-p", flags.top_p, "… among the likeliest that sum to P (default: the model's)", "P")
      ->check(CLI::Range(0.0F, 1.0F));
  add("--min-p", s.min_p, "… among those at least P times as likely as the likeliest (default: 0)", "P")
      ->check(CLI::Range(0.0F, 1.0F));
  add("--repeat-penalty", s.repetition_penalty, "divide the logits of tokens seen before (default: 1)", "R")
      ->check(CLI::Range(0.01F, 100.0F));
  add("--presence-penalty", s.presence_penalty, "subtract from tokens seen before (default: 0)", "R")
      ->check(CLI::Range(-100.0F, 100.0F));
  add("--frequency-penalty", s.frequency_penalty, "… once per time seen (default: 0)", "R")
      ->check(CLI::Range(-100.0F, 100.0F));
  add("-s,--seed", s.seed, "seed of the random choices (default: a fresh one)", "S")
      ->check(CLI::NonNegativeNumber);
  add("--stop", o.stop, "end the answer before this text; may be repeated", "TEXT")->allow_extra_args(false);
}

void resolve(SamplingFlags& flags, const ModelInfo& info) {
  Sampling& s = flags.options.sampling;
  s.temperature = flags.temperature.value_or(info.default_sampling.temperature);
  s.top_k = flags.top_k.value_or(info.default_sampling.top_k);
  s.top_p = flags.top_p.value_or(info.default_sampling.top_p);
}

void add_media_flags(CLI::App& command, MediaFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->group("Media")->type_name(type);
  };
  add("--budget", flags.image_budget,
      "soft tokens per image: 70, 140, 280, 560 or 1120; more for small print", "N")
      ->check(CLI::IsMember(kBudgets));
  add("--frame-budget", flags.frame_budget, "soft tokens per video frame (default: 70)", "N")
      ->check(CLI::IsMember(kBudgets));
  add("--frames", flags.video.max_frames, "frames taken from a video (default: 32)", "N")
      ->check(CLI::Range(1, 4096));
  add("--fps", flags.video.fps, "take this many frames a second instead", "F")
      ->check(CLI::Range(0.001, 1000.0));
  command
      .add_flag("--video-sound", flags.video_sound, "hear a video's sound track as well as see its frames")
      ->group("Media");
}

void resolve(MediaFlags& flags, const MediaBudgets& budgets) {
  if (flags.image_budget == 0) flags.image_budget = budgets.image;
  flags.video.soft_token_budget = flags.frame_budget != 0 ? flags.frame_budget : budgets.video_frame;
}

}  // namespace tessera::cli
