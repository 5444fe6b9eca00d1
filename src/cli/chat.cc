// tessera chat: a conversation.
#include "cli/chat.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "cli/command.h"
#include "cli/dropped_paths.h"
#include "cli/line_editor.h"
#include "cli/model_path.h"
#include "cli/reply_printer.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

constexpr const char* kBlock = "\"\"\"";

struct ChatFlags {
  std::string model, system;
  EngineFlags engine;
  SamplingFlags sampling;
  MediaFlags media;
  bool think = false, stats = false;
};

/// A line, or the lines of a """ block joined. kInterrupted drops what was typed of the block.
LineResult read_input(LineEditor& editor, std::string& input) {
  const LineResult first = editor.read(">>> ", input);
  if (first != LineResult::kLine || !input.starts_with(kBlock)) return first;
  input.erase(0, 3);
  for (std::string line; !input.ends_with(kBlock); input += "\n" + line) {
    const LineResult result = editor.read("... ", line);
    if (result != LineResult::kLine) return result;
  }
  input.erase(input.size() - 3);
  return LineResult::kLine;
}

/// A command is a slash and letters; "/home/me/a.png" is a path.
bool is_command(const std::string& input) {
  const size_t end = std::min(input.find_first_of(" \t\n"), input.size());
  return input.starts_with('/') && input.find_first_of("/.", 1) >= end;
}

int chat(const ChatFlags& flags) {
  const std::string model = resolve_model(flags.model);
  const auto engine = load_engine(model, flags.engine);
  MediaFlags media = flags.media;
  SamplingFlags sampling = flags.sampling;
  resolve(media, {engine->info().default_image_budget, engine->info().default_video_budget});
  resolve(sampling, engine->info());
  std::optional<InterruptPipe> interrupts;  // a pipe's lines have no one to stop an answer for
  if (stdin_is_terminal()) interrupts.emplace();
  InterruptPipe* const pipe = interrupts ? &*interrupts : nullptr;
  Chat chat(engine, sampling.options, media, pipe);
  chat.conversation().system = flags.system;
  chat.conversation().think = flags.think;
  chat.set_show_stats(flags.stats);

  LineEditor editor(pipe);
  if (stdin_is_terminal()) {
    write_err(dim(fmt::format(
        "{}: {} parameters, {} tokens of context. /help lists the commands, /bye leaves.\n",
        std::filesystem::path(model).filename().string(), short_count(engine->info().total_parameters),
        grouped(engine->options().context_tokens))));
  }
  for (std::string input;;) {
    const LineResult result = read_input(editor, input);
    if (result == LineResult::kEnd) break;
    if (result == LineResult::kLine && !chat.take(input)) break;
  }
  return chat.failed() ? kExitError : kExitOk;
}

}  // namespace

Chat::Chat(std::shared_ptr<Engine> engine, GenerateOptions options, MediaFlags media,
           InterruptPipe* interrupts)
    : engine_(std::move(engine)),
      options_(std::move(options)),
      media_(media),
      interrupts_(interrupts),
      session_(engine_) {}

void Chat::note(const std::string& text) {
  write_err(dim(text + "\n"));
}

bool Chat::take(const std::string& input) {
  try {
    if (is_command(input)) return take_command(input);
    DroppedPaths dropped = take_dropped_paths(input);
    for (const auto& path : dropped.paths) attach(path, *media_kind_of(path));
    if (dropped.text.find_first_not_of(" \t\n") != std::string::npos) answer(std::move(dropped.text));
    failed_ = false;
  } catch (const Error& error) {
    write_err(fmt::format("error: {}\n", error.what()));
    failed_ = true;
  }
  return true;
}

void Chat::attach(const std::string& path, MediaKind kind) {
  for (auto& attachment : open_attachments(path, kind, media_)) {
    note(fmt::format("attached {}: {}", attachment.name, attachment.media.describe()));
    pending_.push_back(std::move(attachment));
  }
}

void Chat::answer(std::string text) {
  auto& turns = conversation_.turns;
  turns.push_back({true, std::move(text), "", pending_});
  ReplyPrinter printer;
  Reply reply;
  try {
    session_.set_prompt(conversation_.render(), conversation_.media());
    std::optional<CancelOnInterrupt> cancel;
    if (interrupts_ != nullptr) cancel.emplace(*interrupts_, session_);
    reply = session_.generate(options_, [&](const Event& event) { printer.on_event(event); });
  } catch (...) {  // the question is taken back; what was attached stays for the next try
    printer.clear();
    turns.pop_back();
    throw;
  }
  printer.finish(reply, options_.max_tokens);
  last_usage_ = reply.usage;
  if (show_stats_) print_stats();
  if (reply.finish == FinishReason::kCancelled && reply.text.empty()) {
    turns.pop_back();  // stopped before a word: as if it had not been asked
    return;
  }
  pending_.clear();
  turns.push_back({false, std::move(reply.text), std::move(reply.thought), {}});
}

void add_chat(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "chat", "Talk with the model; pictures, sounds and videos by /image or drag and drop.", "[MODEL]",
      "  tessera chat\n"
      "  tessera chat path/to/model --ctx 32768 --think\n"
      "  tessera chat --system \"Answer in one sentence.\" < questions.txt\n");
  auto flags = std::make_shared<ChatFlags>();
  command
      .add_option("MODEL", flags->model,
                  "model directory or .gguf file (default: the one that comes with Tessera)")
      ->type_name("");
  add_model_flag(command, flags->model);
  command.add_option("--system", flags->system, "what the model should be or keep to")->type_name("TEXT");
  command.add_flag("--think", flags->think, "let the model think first");
  command.add_flag("--stats", flags->stats, "print tokens and tokens per second after each answer");
  add_media_flags(command, flags->media);
  add_sampling_flags(command, flags->sampling);
  add_engine_flags(command, flags->engine);
  command.callback([flags, &action] { action = [flags] { return chat(*flags); }; });
}

}  // namespace tessera::cli
