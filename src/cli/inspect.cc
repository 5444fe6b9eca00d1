// tessera inspect: what a model is made of, what it needs, and what it sees of a picture.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file_map.h"
#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/model_path.h"
#include "cli/model_report.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

using nlohmann::json;

struct InspectFlags {
  std::string model, mmproj, image, out;
  MediaFlags media;
  EngineOptions engine;  // what the KV cache's size depends on
  bool as_json = false;
};

struct Seen {
  std::string description, png;
  int budget = 0, soft_tokens = 0;
};

Seen see(const InspectFlags& flags) {
  const auto picture = open_attachments(flags.image, MediaKind::kImage, flags.media).front();
  Seen seen{picture.media.describe(), flags.out.empty() ? flags.image + ".seen.png" : flags.out,
            flags.media.image_budget, picture.media.soft_tokens()};
  write_file(seen.png, picture.media.preview_png(true));
  return seen;
}

int inspect(InspectFlags& flags) {
  // A picture alone needs no model: the cutting is the same for all of them.
  const bool with_model = flags.image.empty() || !flags.model.empty();
  std::optional<ModelInfo> info;
  if (with_model) info = inspect_model(resolve_model(flags.model), flags.mmproj);
  std::optional<Seen> seen;
  if (!flags.image.empty()) {
    resolve(flags.media,
            info ? MediaBudgets{info->default_image_budget, info->default_video_budget} : MediaBudgets{});
    seen = see(flags);
  }
  if (flags.as_json) {
    json report = info ? model_report_json(*info, memory_need(*info, flags.engine)) : json::object();
    if (seen) {
      report["image"] = {{"file", flags.image},
                         {"description", seen->description},
                         {"budget", seen->budget},
                         {"soft_tokens", seen->soft_tokens},
                         {"seen", seen->png}};
    }
    write_out(report.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
    return kExitOk;
  }
  if (info) write_out(model_report(*info, memory_need(*info, flags.engine)));
  if (seen) {
    write_out(fmt::format("{}{}\n  {} (of at most {})\n  what the model sees: {}\n", info ? "\n" : "",
                          flags.image, seen->description, seen->budget, seen->png));
  }
  return kExitOk;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "inspect", "Show a model's geometry, parameters and memory, or what the model sees of a picture.",
      "[MODEL]",
      "  tessera inspect path/to/model\n"
      "  tessera inspect path/to/model --ctx 131072\n"
      "  tessera inspect path/to/model.gguf --mmproj path/to/mmproj.gguf\n"
      "  tessera inspect --image photo.jpg --budget 1120     # writes photo.jpg.seen.png\n");
  auto flags = std::make_shared<InspectFlags>();
  command
      .add_option("MODEL", flags->model,
                  "model directory or .gguf file (default: the one that comes with Tessera)")
      ->type_name("");
  add_model_flag(command, flags->model);
  add_mmproj_flag(command, flags->mmproj);
  command.add_option("-c,--ctx", flags->engine.context_tokens, "size the KV cache for this many tokens")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  add_kv_flag(command, flags->engine.kv);
  command.add_option("--image", flags->image, "picture to cut into patches")->type_name("FILE");
  command
      .add_option("--budget", flags->media.image_budget,
                  "soft tokens: 70, 140, 280, 560 or 1120 (default: 280)")
      ->type_name("N")
      ->check(CLI::IsMember({70, 140, 280, 560, 1120}));
  command.add_option("--out", flags->out, "where to write what the model sees (default: FILE.seen.png)")
      ->type_name("PNG");
  command.add_flag("--json", flags->as_json, "print JSON");
  command.callback([flags, &action] { action = [flags] { return inspect(*flags); }; });
}

}  // namespace tessera::cli
