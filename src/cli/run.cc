// tessera run: one question, one answer.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file_map.h"
#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/options.h"
#include "cli/reply_printer.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int64_t kMaxPromptBytes = int64_t{64} << 20;

struct MediaArgument {
  MediaKind kind;
  std::string path;
};

struct RunFlags {
  std::string model, system;
  std::vector<std::string> words;    // [MODEL] PROMPT
  std::vector<MediaArgument> media;  // in the order of the command line
  EngineFlags engine;
  SamplingFlags sampling;
  MediaFlags media_flags;
  std::string schema;  // --json-schema: a file or JSON
  bool think = false, as_json = false, stats = false;
};

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Sorts the positionals out into flags.model and the prompt, which is returned.
std::string take_prompt(RunFlags& flags) {
  auto& words = flags.words;
  if (words.size() > 2 || (words.size() == 2 && !flags.model.empty())) {
    throw UsageError(
        fmt::format("{} arguments where [MODEL] PROMPT is expected; put the prompt in quotes", words.size()));
  }
  if (words.size() == 2) {
    flags.model = words[0];
    words.erase(words.begin());
  } else if (words.size() == 1 && flags.model.empty() && is_model(words[0])) {
    if (flags.media.empty()) {
      throw UsageError(
          fmt::format("{0} is a model, and there is no prompt: tessera run {0} \"your question\"", words[0]));
    }
    flags.model = words[0];
    words.clear();
  }
  std::string prompt = words.empty() ? std::string() : words[0];
  if (prompt == "-") prompt = read_stdin(kMaxPromptBytes);
  if (prompt.find_first_not_of(" \t\r\n") == std::string::npos && flags.media.empty()) {
    throw UsageError("the prompt is empty; write what to ask, or - to read it from standard input");
  }
  return prompt;
}

/// A schema itself begins with a brace; anything else is the name of a file.
std::string read_schema(const std::string& argument) {
  if (argument.find_first_not_of(" \t\r\n") == argument.find('{')) return argument;
  return read_text_file(argument, int64_t{4} << 20);
}

json logprob_json(const TokenLogprob& p) {
  json bytes = json::array();
  for (const char c : p.bytes) bytes.push_back(static_cast<uint8_t>(c));
  return {{"id", p.id}, {"token", p.bytes}, {"bytes", std::move(bytes)}, {"logprob", p.logprob}};
}

json tool_call_json(const ToolCall& call) {
  json arguments = call.parsed ? json::parse(call.arguments_json, nullptr, false) : json();
  if (arguments.is_discarded() || arguments.is_null()) arguments = call.arguments_json;
  return {{"name", call.name}, {"arguments", std::move(arguments)}, {"parsed", call.parsed}};
}

json reply_json(const Reply& reply, const std::string& model, double load_ms, double media_ms) {
  json calls = json::array();
  for (const auto& call : reply.tool_calls) calls.push_back(tool_call_json(call));
  const Usage& usage = reply.usage;
  json out = {{"text", reply.text},
              {"thought", reply.thought},
              {"tool_calls", std::move(calls)},
              {"finish_reason", to_string(reply.finish)},
              {"seed", reply.seed},
              {"model", model},
              {"usage",
               {{"prompt_tokens", usage.prompt_tokens},
                {"cached_tokens", usage.cached_tokens},
                {"completion_tokens", usage.completion_tokens},
                {"total_tokens", usage.prompt_tokens + usage.completion_tokens}}},
              {"timings",
               {{"load_ms", load_ms},
                {"media_ms", media_ms},
                {"prefill_ms", usage.prefill_ms},
                {"generate_ms", usage.generate_ms},
                {"draft_n", usage.drafted_tokens},
                {"draft_n_accepted", usage.accepted_tokens},
                {"prompt_per_s", usage.prompt_per_s()},
                {"generate_per_s", usage.completion_tokens > 1 ? usage.generate_per_s() : 0.0}}}};
  if (!reply.warning.empty()) out["warning"] = reply.warning;
  for (const TokenLogprobs& token : reply.logprobs) {
    json entry = logprob_json(token.chosen);
    entry["in_answer"] = token.in_answer;
    entry["top"] = json::array();
    for (const TokenLogprob& other : token.top) entry["top"].push_back(logprob_json(other));
    out["logprobs"].push_back(std::move(entry));
  }
  return out;
}

int run(RunFlags& flags) {
  Conversation conversation;
  Turn question;
  question.text = take_prompt(flags);
  const std::string model = resolve_model(flags.model);
  if (!flags.schema.empty()) flags.sampling.options.format.json_schema = read_schema(flags.schema);

  // Small reads first: a wrong path or a broken picture should not cost the loading of the weights.
  const auto media_start = Clock::now();
  if (!flags.media.empty()) resolve(flags.media_flags, media_budgets(model));
  for (const auto& argument : flags.media) {
    for (auto& attachment : open_attachments(argument.path, argument.kind, flags.media_flags)) {
      question.attachments.push_back(std::move(attachment));
    }
  }
  const double media_ms = ms_since(media_start);
  conversation.system = flags.system;
  conversation.think = flags.think;
  conversation.turns.push_back(std::move(question));
  const std::string prompt = conversation.render();

  const auto load_start = Clock::now();
  const auto engine = load_engine(model, flags.engine);
  const double load_ms = ms_since(load_start);
  resolve(flags.sampling, engine->info());

  Session session(engine);
  session.set_prompt(prompt, conversation.media());
  ReplyPrinter printer;
  Reply reply;
  try {
    InterruptPipe interrupts;
    CancelOnInterrupt cancel(interrupts, session);
    reply = session.generate(flags.sampling.options, [&](const Event& event) {
      if (!flags.as_json || event.kind == EventKind::kPrefill) printer.on_event(event);
    });
  } catch (...) {
    printer.clear();
    throw;
  }
  if (flags.as_json) {
    printer.clear();
    write_out(
        reply_json(reply, model, load_ms, media_ms).dump(2, ' ', false, json::error_handler_t::replace) +
        "\n");
  } else {
    printer.finish(reply, flags.sampling.options.max_tokens);
  }
  if (flags.stats) {
    write_err(dim(fmt::format("loaded in {:.2f} s · {} · {} · seed {}\n", load_ms / 1e3, engine->backend(),
                              describe(reply.usage), reply.seed)));
  }
  return reply.finish == FinishReason::kCancelled ? kExitInterrupted : kExitOk;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto& command =
      add_command(app, "run", "Ask one question, with pictures, sounds and videos, and print the answer.",
                  "[MODEL] PROMPT",
                  "  tessera run \"Why is the sky blue?\"\n"
                  "  tessera run --image board.png \"When does the train to Lyon leave?\"\n"
                  "  tessera run --audio note.wav \"Transcribe this.\"\n"
                  "  tessera run --video clip.mp4 --video-sound \"What happens here?\"\n"
                  "  tessera run path/to/model --temp 0 --json - < question.txt\n");
  auto flags = std::make_shared<RunFlags>();
  command
      .add_option("PROMPT", flags->words,
                  "model directory or .gguf file (may be left out), then the question; - reads stdin")
      ->type_name("");
  add_model_flag(command, flags->model);
  command.add_option("--system", flags->system, "what the model should be or keep to")->type_name("TEXT");
  command.add_flag("--think", flags->think, "let the model think first; the thought goes to stderr");
  command.add_flag("--json", flags->as_json, "print one JSON object at the end instead of the streamed text");
  command.add_option("--json-schema", flags->schema, "the answer is JSON of this schema, and nothing else")
      ->type_name("FILE|JSON");
  command
      .add_option("--logprobs", flags->sampling.options.top_logprobs,
                  "with --json: each token's log-probability, and those of the N likeliest (0 to 20)")
      ->check(CLI::Range(0, 20))
      ->type_name("N");
  command
      .add_option("--think-budget", flags->sampling.options.reasoning_budget_tokens,
                  "end the thought after N tokens")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_flag("--stats", flags->stats, "print tokens and tokens per second on stderr");
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
    const std::string name = media_kind_name(kind);
    command
        .add_option_function<std::string>(
            "--" + name,
            [flags, kind](const std::string& path) {
              flags->media.push_back({kind, path});
            },
            kind == MediaKind::kAudio
                ? "sound the question is about; may be repeated, kept in order, goes after the text"
                : name + " the question is about; may be repeated, kept in order")
        ->trigger_on_parse()
        ->group("Media")
        ->type_name("FILE");
  }
  add_media_flags(command, flags->media_flags);
  add_sampling_flags(command, flags->sampling);
  add_engine_flags(command, flags->engine);
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace tessera::cli
