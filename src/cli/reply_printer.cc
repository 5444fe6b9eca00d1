#include "cli/reply_printer.h"

#include <fmt/format.h>

namespace tessera::cli {

void ReplyPrinter::on_event(const Event& event) {
  if (event.kind != EventKind::kPrefill) prefill_.clear();
  switch (event.kind) {
    case EventKind::kPrefill:
      if (event.prefill_total > 0) {
        prefill_.update(static_cast<double>(event.prefill_done) / event.prefill_total,
                        fmt::format("{} of {} tokens", event.prefill_done, event.prefill_total));
      }
      break;
    case EventKind::kThought:
      print_thought(event.text);
      break;
    case EventKind::kText:
      print_text(event.text);
      break;
    case EventKind::kToolCall:
      print_text(fmt::format("{}[calls {} {}]\n", text_ends_line_ ? "" : "\n", event.tool_call.name,
                             event.tool_call.arguments_json));
      break;
  }
}

void ReplyPrinter::print_thought(const std::string& text) {
  if (text.empty()) return;
  if (!thinking_) write_err(dim("thinking …\n"));
  thinking_ = true;
  write_err(dim(stderr_is_terminal() ? printable(text) : text));
  thought_ends_line_ = text.back() == '\n';
}

void ReplyPrinter::end_thought() {
  if (!thinking_) return;
  write_err(thought_ends_line_ ? "" : "\n");
  write_err(dim("… done thinking\n"));
  thinking_ = false;
}

void ReplyPrinter::print_text(const std::string& text) {
  if (text.empty()) return;
  end_thought();
  write_out(stdout_is_terminal() ? printable(text) : text);
  text_ends_line_ = text.back() == '\n';
}

void ReplyPrinter::finish(const Reply& reply, int max_tokens) {
  prefill_.clear();
  end_thought();
  if (!text_ends_line_) write_out("\n");
  const bool only_thought = reply.text.empty() && !reply.thought.empty();
  switch (reply.finish) {
    case FinishReason::kLength:
      write_err(dim(only_thought ? fmt::format("[all {} tokens went into thinking: allow more]\n", max_tokens)
                                 : fmt::format("[ended at the limit of {} tokens]\n", max_tokens)));
      break;
    case FinishReason::kContextFull:
      write_err(dim("[ended: the context is full]\n"));
      break;
    case FinishReason::kCancelled:
      write_err(dim("[stopped]\n"));
      break;
    case FinishReason::kTimeLimit:
      write_err(dim("[ended: the time is over]\n"));
      break;
    default:
      if (!reply.warning.empty()) write_err(dim(fmt::format("[{}]\n", reply.warning)));
      break;
  }
}

std::string describe(const Usage& usage) {
  const std::string cached =
      usage.cached_tokens > 0 ? fmt::format(" ({} from cache)", usage.cached_tokens) : std::string();
  std::string line = fmt::format("{} tokens read{}, {:.1f}/s · {} written", usage.prompt_tokens, cached,
                                 usage.prompt_per_s(), usage.completion_tokens);
  if (usage.completion_tokens > 1) line += fmt::format(", {:.1f}/s", usage.generate_per_s());
  if (usage.draft_rounds > 0) {
    line += fmt::format(" · drafted {}, {:.1f} a step, {:.0f} % accepted", usage.drafted_tokens,
                        static_cast<double>(usage.drafted_tokens) / usage.draft_rounds,
                        100.0 * usage.accepted_tokens / usage.drafted_tokens);
    if (usage.plain_token_ms > 0 && usage.generate_ms > 0)  // against what plain steps took
      line +=
          fmt::format(", {:.2f} x", (usage.completion_tokens - 1) * usage.plain_token_ms / usage.generate_ms);
  }
  return line;
}

}  // namespace tessera::cli
