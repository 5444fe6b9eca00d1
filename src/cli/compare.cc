// tessera compare: how far one model's predictions are from another's over a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file_map.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "tessera/tessera.h"

namespace tessera::cli {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{256} << 20, kLeastContext = 16;

struct CompareFlags {
  std::string reference, other, text;
  CompareOptions options;
  EngineFlags engine;
  bool as_json = false;
};

std::string table(const CompareFlags& flags, const Comparison& c) {
  return fmt::format(
      "{} against {}, {} positions of {}\n\n"
      "  {:<24}{:.6f} mean, {:.6f} median, {:.6f} at 99 %, {:.6f} at most\n"
      "  {:<24}{:.2f} %\n"
      "  {:<24}{:.4f} reference, {:.4f} other\n",
      flags.other, flags.reference, grouped(c.positions), flags.text, "KL divergence, nats", c.kl_mean,
      c.kl_median, c.kl_p99, c.kl_max, "same likeliest token", 100 * c.same_top, "perplexity",
      c.reference_perplexity, c.other_perplexity);
}

std::string as_json(const CompareFlags& flags, const Comparison& c) {
  const nlohmann::json out = {
      {"reference", flags.reference},
      {"other", flags.other},
      {"text", flags.text},
      {"positions", c.positions},
      {"window_tokens", flags.options.window_tokens},
      {"kl", {{"mean", c.kl_mean}, {"median", c.kl_median}, {"p99", c.kl_p99}, {"max", c.kl_max}}},
      {"same_top_percent", 100 * c.same_top},
      {"perplexity", {{"reference", c.reference_perplexity}, {"other", c.other_perplexity}}}};
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

int run_compare(CompareFlags& flags) {
  flags.options.text =
      flags.text == "-" ? read_stdin(kMaxTextBytes) : read_text_file(flags.text, kMaxTextBytes);
  flags.engine.options.context_tokens = std::max<int64_t>(kLeastContext, flags.options.window_tokens);
  const auto reference = load_engine(flags.reference, flags.engine);
  const auto other = load_engine(flags.other, flags.engine);
  Progress progress("comparing");
  flags.options.on_progress = [&](double fraction) { progress.update(fraction); };
  const Comparison comparison = compare(*reference, *other, flags.options);
  progress.clear();
  write_out(flags.as_json ? as_json(flags, comparison) : table(flags, comparison));
  return kExitOk;
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "compare", "Compare two models' next-token distributions over a text: what a quantised one lost.",
      "REFERENCE OTHER --text FILE",
      "  tessera compare path/to/model path/to/quantised --text book.txt\n"
      "  tessera compare path/to/model path/to/quantised --text - --max-positions 10000 --json < book.txt\n"
      "\nBoth models are held in memory. The divergence is that of OTHER from REFERENCE.\n");
  auto flags = std::make_shared<CompareFlags>();
  command.add_option("REFERENCE", flags->reference, "model that counts as right")->type_name("")->required();
  command.add_option("OTHER", flags->other, "model to judge; it must have the same tokens")
      ->type_name("")
      ->required();
  command.add_option("--text", flags->text, "what both read; - reads stdin")->type_name("FILE")->required();
  command
      .add_option("-c,--ctx", flags->options.window_tokens,
                  "tokens of a window: the text is cut, each piece starts afresh (default: 512)")
      ->type_name("N")
      ->check(CLI::Range(2, 1 << 18));
  command
      .add_option("--max-positions", flags->options.max_positions, "stop after N positions (default: 4096)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 24));
  command.add_flag("--json", flags->as_json, "print JSON");
  add_compute_flags(command, flags->engine);
  command.callback([flags, &action] { action = [flags] { return run_compare(*flags); }; });
}

}  // namespace tessera::cli
