#include "cli/model_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/terminal.h"

namespace tessera::cli {
namespace {

using nlohmann::json;

/// "5 sliding + 1 global" for layers [0, count)
std::string runs(const std::vector<LayerInfo>& layers, size_t count) {
  std::string text;
  for (size_t i = 0; i < count;) {
    size_t end = i;
    while (end < count && layers[end].sliding == layers[i].sliding) ++end;
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : " + ", end - i, layers[i].sliding ? "sliding" : "global");
    i = end;
  }
  return text;
}

std::string layer_line(const ModelInfo& info, bool sliding) {
  const auto layer = std::find_if(info.layers.begin(), info.layers.end(),
                                  [&](const LayerInfo& l) { return l.sliding == sliding; });
  if (layer == info.layers.end()) return "";
  return fmt::format("    {:<8} {} query and {} KV head{} of {}, {}{} parameters each{}\n",
                     sliding ? "sliding" : "global", layer->q_heads, layer->kv_heads,
                     layer->kv_heads == 1 ? "" : "s", layer->head_dim,
                     sliding ? fmt::format("window {}, ", grouped(info.window)) : std::string(),
                     short_count(layer->parameters), layer->v_is_k ? ", V is K" : "");
}

std::string row(const char* name, const std::string& value, const std::string& note = "") {
  return fmt::format("  {:<22}{:>12}{}{}\n", name, value, note.empty() ? "" : "   ", note);
}

}  // namespace

std::string layer_pattern(const std::vector<LayerInfo>& layers) {
  const size_t count = layers.size();
  for (size_t period = 1; period < count; ++period) {
    if (count % period != 0) continue;
    bool repeats = true;
    for (size_t i = period; i < count && repeats; ++i)
      repeats = layers[i].sliding == layers[i - period].sliding;
    if (repeats && period > 1) return fmt::format("{} x ({})", count / period, runs(layers, period));
    if (repeats) break;
  }
  return runs(layers, count);
}

std::string model_report(const ModelInfo& info, const MemoryNeed& need) {
  int64_t layer_parameters = 0;
  for (const auto& layer : info.layers) layer_parameters += layer.parameters;

  std::string text = fmt::format("{}\n  {}, {}\n", info.path, info.format, short_bytes(info.file_bytes));
  if (!info.mmproj.empty()) text += fmt::format("  vision and audio: {}\n", info.mmproj);
  if (!info.drafter.empty()) text += fmt::format("  drafter: {}\n", info.drafter);
  if (info.drafts_for_hidden > 0)
    text += fmt::format("  a drafter, of a model of hidden size {}\n", grouped(info.drafts_for_hidden));
  if (!info.note.empty()) text += fmt::format("  note: {}\n", info.note);
  text += "\n";
  text += fmt::format(
      "Geometry\n  hidden {}, feed-forward {}, vocabulary {}, context {}{}\n", grouped(info.hidden),
      grouped(info.intermediate), grouped(info.vocab), grouped(info.max_context),
      info.logit_softcap > 0 ? fmt::format(", logits capped at {:g}", info.logit_softcap) : "");
  text += fmt::format("  {} layers: {}\n", info.layers.size(), layer_pattern(info.layers));
  text += layer_line(info, true) + layer_line(info, false);

  text += "\nParameters\n";
  text += row("embedding", short_count(info.embedding_parameters), "also the output matrix");
  text += row("layers", short_count(layer_parameters));
  text += row("vision, patch path", short_count(info.vision_parameters),
              "there is no vision tower; larger siblings have one of about 550 M");
  text += row("vision, projection", short_count(info.vision_projection_parameters),
              fmt::format("{} -> {}", grouped(info.mm_embed), grouped(info.hidden)));
  text += row("audio", short_count(info.audio_parameters),
              fmt::format("{} samples -> {}", info.audio_samples_per_token, grouped(info.hidden)));
  text += row("total", short_count(info.total_parameters), grouped(info.total_parameters));

  text += "\nTensors\n";
  for (const auto& type : info.dtypes) {
    text += row(type.dtype.c_str(), grouped(type.tensors),
                fmt::format("{} parameters, {}", short_count(type.parameters), short_bytes(type.bytes)));
  }

  text += fmt::format("\nMemory at {} tokens of context (--ctx)\n", grouped(need.context_tokens));
  text += row("weights", short_bytes(need.weight_bytes),
              info.drafter_weight_bytes > 0
                  ? fmt::format("of these the drafter's {}", short_bytes(info.drafter_weight_bytes))
                  : std::string());
  text += row("KV cache", short_bytes(need.kv_bytes), "sliding layers keep their window only");
  text += row("work space", short_bytes(need.work_bytes), "the longest step, one row of logits, the program");
  text += row("together", short_bytes(need.total_bytes()));
  if (need.available_bytes > 0)
    text +=
        row("available here", short_bytes(need.available_bytes), need.fits() ? "it fits" : "it does not fit");
  text += fmt::format(
      "  {}\n", need.largest_context == 0 ? "no context fits: a quantised model is smaller (tessera quantize)"
                : need.largest_context >= info.max_context
                    ? "the model's whole context fits"
                    : fmt::format("the largest context that fits: {}", grouped(need.largest_context)));

  text += fmt::format(
      "\nTokenizer\n  {} entries, {} merges, {} control tokens; ends at {}; never chosen {}\n",
      grouped(info.vocab_entries), grouped(info.merges), grouped(info.control_tokens),
      info.end_tokens.empty() ? "nothing" : fmt::format("{}", fmt::join(info.end_tokens, ", ")),
      info.suppressed_tokens.empty() ? "nothing"
                                     : fmt::format("{}", fmt::join(info.suppressed_tokens, ", ")));
  text += fmt::format("  an image takes {} soft tokens by default, a video frame {}\n",
                      info.default_image_budget, info.default_video_budget);
  return text;
}

json model_report_json(const ModelInfo& info, const MemoryNeed& need) {
  json layers = json::array(), dtypes = json::array();
  for (const auto& l : info.layers) {
    layers.push_back({{"kind", l.sliding ? "sliding" : "global"},
                      {"q_heads", l.q_heads},
                      {"kv_heads", l.kv_heads},
                      {"head_dim", l.head_dim},
                      {"v_is_k", l.v_is_k},
                      {"parameters", l.parameters}});
  }
  for (const auto& t : info.dtypes) {
    dtypes.push_back(
        {{"dtype", t.dtype}, {"tensors", t.tensors}, {"parameters", t.parameters}, {"bytes", t.bytes}});
  }
  return {{"path", info.path},
          {"format", info.format},
          {"mmproj", info.mmproj},
          {"drafter", info.drafter},
          {"drafts_for_hidden", info.drafts_for_hidden},
          {"note", info.note},
          {"file_bytes", info.file_bytes},
          {"geometry",
           {{"hidden", info.hidden},
            {"intermediate", info.intermediate},
            {"vocab", info.vocab},
            {"max_context", info.max_context},
            {"window", info.window},
            {"mm_embed", info.mm_embed},
            {"audio_samples_per_token", info.audio_samples_per_token},
            {"logit_softcap", info.logit_softcap},
            {"pattern", layer_pattern(info.layers)}}},
          {"layers", std::move(layers)},
          {"parameters",
           {{"embedding", info.embedding_parameters},
            {"text", info.text_parameters},
            {"vision", info.vision_parameters},
            {"vision_projection", info.vision_projection_parameters},
            {"audio", info.audio_parameters},
            {"total", info.total_parameters}}},
          {"dtypes", std::move(dtypes)},
          {"memory",
           {{"context_tokens", need.context_tokens},
            {"weight_bytes", need.weight_bytes},
            {"kv_bytes", need.kv_bytes},
            {"work_bytes", need.work_bytes},
            {"total_bytes", need.total_bytes()},
            {"available_bytes", need.available_bytes},
            {"fits", need.fits()},
            {"largest_context", need.largest_context}}},
          {"tokenizer",
           {{"entries", info.vocab_entries},
            {"merges", info.merges},
            {"control_tokens", info.control_tokens},
            {"end_tokens", info.end_tokens},
            {"suppressed_tokens", info.suppressed_tokens}}},
          {"default_budgets",
           {{"image", info.default_image_budget}, {"video_frame", info.default_video_budget}}}};
}

}  // namespace tessera::cli
