// The paths that do not generate.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "server/page.h"
#include "server/reply_parts.h"
#include "server/service.h"

namespace tessera::server {
namespace {

constexpr size_t kMaxTokenIds = 1 << 20;

HttpAnswer json_answer(const Json& json) {
  return {200, "application/json", dump(json)};
}

bool has_vision(const ModelInfo& info) {
  return info.vision_parameters > 0;
}
bool has_audio(const ModelInfo& info) {
  return info.audio_parameters > 0;
}

// Of this process, mapped files that are in memory included; 0: not known.
int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  return file >> all >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

std::string short_parameters(const ModelInfo& info) {
  const double millions = static_cast<double>(info.total_parameters) / 1e6;
  return millions >= 1000 ? fmt::format("{:.1f}B", millions / 1000) : fmt::format("{:.1f}M", millions);
}

Json ollama_details(const ModelInfo& info) {
  const bool gguf = info.format.starts_with("GGUF");
  return {{"parent_model", ""},
          {"format", gguf ? "gguf" : "safetensors"},
          {"family", "gemma4"},
          {"families", Json::array({"gemma4"})},
          {"parameter_size", short_parameters(info)},
          {"quantization_level", info.dtypes.empty() ? "" : info.dtypes.front().dtype}};
}

Json ollama_entry(const ApiContext& context) {
  return {{"name", context.model_name},
          {"model", context.model_name},
          {"modified_at", iso_time()},
          {"size", context.model.info().file_bytes},
          {"digest", ""},
          {"details", ollama_details(context.model.info())}};
}

}  // namespace

const std::vector<Service::Route>& Service::routes() {
  static const std::vector<Route> all = {
      {"GET", "/", &Service::root},
      {"GET", "/health", &Service::health},
      {"GET", "/v1/health", &Service::health},
      {"GET", "/v1/models", &Service::models},
      {"GET", "/models", &Service::models},
      {"GET", "/props", &Service::props},
      {"GET", "/slots", &Service::slots},
      {"GET", "/metrics", &Service::metrics},
      {"GET", "/logs", &Service::logs},
      {"POST", "/tokenize", &Service::tokenize},
      {"POST", "/detokenize", &Service::detokenize},
      {"POST", "/apply-template", &Service::apply_template},
      {"POST", "/v1/messages/count_tokens", &Service::count_tokens},
      {"GET", "/api/tags", &Service::ollama_tags},
      {"POST", "/api/show", &Service::ollama_show},
      {"GET", "/api/version", &Service::ollama_version},
      {"GET", "/api/ps", &Service::ollama_ps},
  };
  return all;
}

void Service::answer_route(const HttpRequest& request, HttpReply& reply) {
  try {
    if (const PageFile* file = page_file_for(request)) return reply.send(answer_page(*file, request));
    for (const Route& route : routes()) {
      if (request.path == route.path) return reply.send((this->*route.answer)(request));
    }
    throw not_found("there is nothing at this path");
  } catch (...) {
    reply.send(error_for_path(request.path, current_error()));
  }
}

HttpAnswer Service::root(const HttpRequest&) {
  return {200, "text/plain; charset=utf-8", "Tessera is running\n"};
}

HttpAnswer Service::health(const HttpRequest&) {
  if (stopping_) throw unavailable("the server is shutting down", 1);
  model();
  return json_answer({{"status", "ok"}});
}

HttpAnswer Service::models(const HttpRequest&) {
  const auto loaded = model();
  const ApiContext c = context();
  const ModelInfo& info = loaded->info();
  const Json entry = {{"id", c.model_name},
                      {"object", "model"},
                      {"created", c.created_s},
                      {"owned_by", "tessera"},
                      {"meta",
                       {{"n_vocab", info.vocab},
                        {"n_ctx_train", info.max_context},
                        {"n_ctx", loaded->context_tokens()},
                        {"n_embd", info.hidden},
                        {"n_params", info.total_parameters},
                        {"size", info.file_bytes}}}};
  return json_answer({{"object", "list"}, {"data", Json::array({entry})}});
}

HttpAnswer Service::props(const HttpRequest&) {
  const auto loaded = model();
  const ApiContext c = context();
  const ModelInfo& info = loaded->info();
  const Sampling& s = c.defaults.sampling;
  return json_answer(
      {{"default_generation_settings",
        {{"n_ctx", loaded->context_tokens()},
         {"params",
          {{"temperature", s.temperature},
           {"top_k", s.top_k},
           {"top_p", s.top_p},
           {"min_p", s.min_p},
           {"n_predict", options_.max_tokens > 0 ? options_.max_tokens : -1}}}}},
       {"total_slots", options_.parallel},
       {"model_alias", c.model_name},
       {"modalities",
        {{"vision", has_vision(info)}, {"audio", has_audio(info)}, {"video", has_vision(info)}}},
       {"default_image_budget", info.default_image_budget},
       {"format", info.format},
       {"max_body_bytes", options_.http.max_body_bytes},
       {"max_audio_s", options_.media.limits.max_audio_s},
       {"weight_bytes", info.weight_bytes + info.drafter_weight_bytes},
       {"kv_bytes", loaded->kv_bytes()},
       {"drafter", info.drafter.empty() ? "none" : "on"},
       {"backend", loaded->backend()},
       {"build_info", "tessera " + options_.version}});
}

HttpAnswer Service::slots(const HttpRequest&) {
  const auto loaded = model();
  Json list = Json::array();
  for (const SlotStatus& slot : loaded->status().slots) {
    const bool busy = slot.state != SlotStatus::State::kIdle;
    list.push_back({{"id", list.size()},
                    {"n_ctx", loaded->context_tokens()},
                    {"is_processing", busy},
                    {"state", !busy                                          ? "idle"
                              : slot.state == SlotStatus::State::kPrefilling ? "prefilling"
                                                                             : "generating"},
                    {"n_past", slot.held_tokens},
                    {"n_held_tokens", slot.held_tokens},
                    {"n_prompt_tokens", slot.prompt_tokens},
                    {"n_decoded", slot.completion_tokens}});
  }
  return json_answer(list);
}

HttpAnswer Service::metrics(const HttpRequest&) {
  std::map<std::string, double> gauges;
  std::function<HttpCounts()> counted;
  std::shared_ptr<Model> loaded;
  {
    const std::lock_guard lock(mutex_);
    counted = counts_;
    loaded = model_;
  }
  if (counted) {
    const HttpCounts counts = counted();
    gauges["connections"] = counts.connections;
    gauges["handlers"] = counts.handlers;
  }
  if (const int64_t bytes = resident_bytes(); bytes > 0)
    gauges["resident_bytes"] = static_cast<double>(bytes);
  if (loaded) {
    const EngineStatus status = loaded->status();
    gauges["slots"] = static_cast<double>(status.slots.size());
    gauges["slots_busy"] =
        static_cast<double>(std::count_if(status.slots.begin(), status.slots.end(), [](const SlotStatus& s) {
          return s.state != SlotStatus::State::kIdle;
        }));
    gauges["queued"] = status.queued;
    gauges["steps"] = static_cast<double>(status.steps);
    gauges["step_rows"] = static_cast<double>(status.step_rows);
    gauges["busy_seconds"] = status.busy_ms / 1e3;
    gauges["longest_step_seconds"] = status.longest_step_ms / 1e3;
    gauges["cache_ram_bytes"] = static_cast<double>(status.cache_ram_bytes);
    gauges["cache_disk_bytes"] = static_cast<double>(status.cache_disk_bytes);
    gauges["cache_entries"] = static_cast<double>(status.cache_entries);
    gauges["cache_hits"] = static_cast<double>(status.cache_hits);
    gauges["kv_shared_bytes"] = static_cast<double>(status.kv_shared_bytes);
  }
  return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text(gauges)};
}

HttpAnswer Service::logs(const HttpRequest&) {
  return {200, "text/plain; charset=utf-8", log_.recent()};
}

HttpAnswer Service::tokenize(const HttpRequest& request) {
  const Json body = parse_json(request.body);
  const Fields fields(body, "");
  const auto loaded = model();
  std::string text =
      fields.find("content") != nullptr ? fields.string("content") : fields.need_string("prompt");
  if (fields.flag("add_special")) text.insert(0, "<bos>");
  Json tokens = Json::array();
  const auto ids = loaded->tokenize(text);
  const bool pieces = fields.flag("with_pieces");
  for (const int32_t id : ids) {
    if (pieces) {
      tokens.push_back({{"id", id}, {"piece", loaded->detokenize(std::span(&id, 1))}});
    } else {
      tokens.push_back(id);
    }
  }
  return json_answer({{"tokens", std::move(tokens)}, {"count", ids.size()}});
}

HttpAnswer Service::detokenize(const HttpRequest& request) {
  const Json body = parse_json(request.body);
  const Fields fields(body, "");
  const Json* tokens = fields.list("tokens");
  if (tokens == nullptr) bad_field("tokens", nullptr, "a list of token ids");
  if (tokens->size() > kMaxTokenIds)
    throw bad_request(fmt::format("tokens has more than {} entries", kMaxTokenIds));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const Json& id = (*tokens)[i];
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      bad_field(fmt::format("tokens[{}]", i), &id, "a token id");
    }
    ids.push_back(id.get<int32_t>());
  }
  return json_answer({{"content", model()->detokenize(ids)}});
}

HttpAnswer Service::apply_template(const HttpRequest& request) {
  Json body = parse_json(request.body);
  const GenerateRequest parsed = kOpenAiChat.parse(body, context());
  return json_answer({{"prompt", render_chat(dump(parsed.chat))}});
}

HttpAnswer Service::count_tokens(const HttpRequest& request) {
  Json body = parse_json(request.body);
  const GenerateRequest parsed = parse_anthropic(body, context());
  return json_answer({{"input_tokens", model()->open(prompt_of(parsed))->prompt_tokens()}});
}

HttpAnswer Service::ollama_tags(const HttpRequest&) {
  const auto loaded = model();
  return json_answer({{"models", Json::array({ollama_entry(context())})}});
}

HttpAnswer Service::ollama_ps(const HttpRequest&) {
  const auto loaded = model();
  Json entry = ollama_entry(context());
  entry["expires_at"] = "0001-01-01T00:00:00Z";
  entry["size_vram"] = 0;
  entry["context_length"] = loaded->context_tokens();
  return json_answer({{"models", Json::array({std::move(entry)})}});
}

HttpAnswer Service::ollama_show(const HttpRequest& request) {
  const Json body = parse_json(request.body);
  [[maybe_unused]] const Fields checked(body, "");  // an object
  const auto loaded = model();
  const ModelInfo& info = loaded->info();
  Json capabilities = {"completion", "tools", "thinking"};
  if (has_vision(info)) capabilities.push_back("vision");
  if (has_audio(info)) capabilities.push_back("audio");
  const Sampling& s = info.default_sampling;
  return json_answer(
      {{"modelfile", ""},
       {"parameters", fmt::format("temperature {}\ntop_k {}\ntop_p {}", s.temperature, s.top_k, s.top_p)},
       {"template", ""},
       {"details", ollama_details(info)},
       {"model_info",
        {{"general.architecture", "gemma4"},
         {"general.parameter_count", info.total_parameters},
         {"gemma4.context_length", info.max_context},
         {"gemma4.embedding_length", info.hidden},
         {"gemma4.block_count", info.layers.size()}}},
       {"capabilities", std::move(capabilities)},
       {"modified_at", iso_time()}});
}

HttpAnswer Service::ollama_version(const HttpRequest&) {
  // Clients compare it with the version that a feature came with, so it is Ollama's kind of number.
  return json_answer({{"version", options_.version}});
}

}  // namespace tessera::server
