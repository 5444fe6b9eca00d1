// From a body to a written answer: parse, fetch and decode media, render, generate, write. One pipeline for
// all APIs.
#include "server/service.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "server/page.h"
#include "server/reply_parts.h"

namespace tessera::server {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRetryAfterS = 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr const char* kTranscriptions = "/v1/audio/transcriptions";
constexpr const char* kTranslations = "/v1/audio/translations";

bool is_watch(std::string_view path) {
  return path == "/health" || path == "/v1/health" || path == "/metrics" || path == "/slots" ||
         path == "/logs";
}

const Api* api_for(const HttpRequest& request) {
  for (const Api* api : generating_apis()) {
    if (request.path == api->path) return api;
  }
  return nullptr;
}

}  // namespace

Service::Service(const ServerOptions& options, Log& log)
    : options_(options), log_(log), started_s_(unix_seconds()) {}

void Service::set_model(std::shared_ptr<Model> model) {
  const std::lock_guard lock(mutex_);
  model_ = std::move(model);
}

void Service::set_counts(std::function<HttpCounts()> counts) {
  const std::lock_guard lock(mutex_);
  counts_ = std::move(counts);
}

std::shared_ptr<Model> Service::model() const {
  const std::lock_guard lock(mutex_);
  if (!model_) throw unavailable("Loading model", kRetryAfterS);
  return model_;
}

ApiContext Service::context() const {
  const std::shared_ptr<Model> loaded = model();
  ApiContext context{*loaded, options_.model_name, started_s_, {}};
  if (context.model_name.empty()) {
    std::filesystem::path path = loaded->info().path;
    if (!path.has_filename()) path = path.parent_path();
    context.model_name = path.filename().string();
  }
  context.defaults = {loaded->info().default_sampling, options_.thinking, options_.reasoning_budget,
                      options_.max_tokens};
  return context;
}

void Service::cancel_all() {
  stopping_ = true;
  const std::lock_guard lock(mutex_);
  for (const Active& active : active_) {
    for (Conversation* conversation : active.conversations) conversation->cancel();
  }
}

std::optional<HttpAnswer> Service::gate(const HttpRequest& request) const {
  if (auto refused = check_access(options_.access, request)) return refused;
  if (page_file_for(request) != nullptr) return std::nullopt;
  bool known = find_page_file(request.path) != nullptr;
  for (const Route& route : routes()) {
    if (request.path != route.path) continue;
    known = true;
    if (request.method == route.method ||
        (request.method == "HEAD" && std::string_view(route.method) == "GET")) {
      return std::nullopt;
    }
  }
  if (api_for(request) != nullptr || request.path == kTranscriptions || request.path == kTranslations) {
    if (request.method == "POST") return std::nullopt;
    known = true;
  }
  if (!known) return error_for_path(request.path, not_found("there is nothing at this path"));
  return error_for_path(request.path,
                        ApiError(405, "invalid_request_error", "this path does not take " + request.method));
}

Headers Service::decorate(const HttpRequest& request) const {
  Headers headers = cors_headers(options_.access, request);
  headers.emplace_back("X-Request-Id", std::to_string(request.number));
  return headers;
}

void Service::handle(const HttpRequest& request, HttpReply& reply) {
  const auto start = Clock::now();
  const Api* api = api_for(request);
  if (api != nullptr) {
    generate(*api, request, reply);
  } else if (request.path == kTranscriptions || request.path == kTranslations) {
    transcribe(request, reply, request.path == kTranslations);
  } else {
    answer_route(request, reply);
  }
  reply.end();
  const bool left = reply.left();
  const double seconds = seconds_since(start);
  metrics_.request(api != nullptr ? api->name : request.path, left ? 499 : reply.status());
  if (api != nullptr) {
    metrics_.request_s.add(seconds);
    if (left) ++metrics_.cancelled;
  }
  // A page of figures and a load balancer ask every few seconds: of interest only when refused.
  const bool watch = reply.status() == 200 && is_watch(request.path);
  log_.write(watch ? LogLevel::kDebug : LogLevel::kInfo, "request",
             {{"id", request.number},
              {"peer", request.peer},
              {"method", request.method},
              {"path", request.path},
              {"status", left ? 499 : reply.status()},
              {"bytes", reply.bytes()},
              {"ms", static_cast<int64_t>(seconds * 1e3)}});
}

Prompt Service::prompt_of(const GenerateRequest& request) const {
  Prompt prompt;
  if (request.chat.is_null()) return prompt;
  prompt.media = load_media(request.media, options_.media, model()->info());
  prompt.rendered = render_chat(dump(request.chat));
  return prompt;
}

void Service::generate(const Api& api, const HttpRequest& http, HttpReply& reply) {
  Work work;
  try {
    Turn turn(*this);
    run(api, http, reply, turn, work);
  } catch (...) {
    const ApiError error = current_error();
    if (error.status >= 500) {
      log_.write(error.status == 503 ? LogLevel::kWarning : LogLevel::kError, "failed",
                 {{"id", http.number}, {"status", error.status}, {"why", error.what()}});
    }
    if (!reply.begun()) {
      reply.send(api.error(error));
    } else if (work.writer) {
      work.writer->fail(error);
    }
  }
}

void Service::run(const Api& api, const HttpRequest& http, HttpReply& reply, Turn& turn, Work& work) {
  const std::shared_ptr<Model> loaded = model();
  const ApiContext& api_context = work.context.emplace(context());
  GenerateRequest& request = work.request;
  auto& writer = work.writer;
  {
    Json body = parse_json(http.body);
    request = api.parse(body, api_context);
  }
  if (options_.log_prompts)
    log_.write_private(LogLevel::kInfo, "prompt", {{"id", http.number}, {"chat", request.chat}});
  Prompt prompt = prompt_of(request);
  const int most = options_.parallel + options_.max_queue;
  if (request.choices > most) {
    throw bad_request(
        fmt::format("n is {}, and this server writes {} answers at most (--parallel, --max-queue)",
                    request.choices, most));
  }
  turn.widen(request.choices);
  const int prompts = request.chat.is_null() ? static_cast<int>(request.raw.size()) : 1;
  for (int p = 0; p < prompts; ++p) {
    if (!request.raw.empty()) prompt.raw = request.raw[static_cast<size_t>(p)];
    std::vector<std::unique_ptr<Conversation>> conversations;
    for (int i = 0; i < request.choices; ++i) conversations.push_back(loaded->open(prompt));
    check_context(*conversations[0], *loaded);
    if (!writer) writer = api.writer({request, reply, api_context, conversations[0]->prompt_tokens()});
    int number = p * request.choices;
    for (const Reply& answered : answer(conversations, request, reply, writer.get(), number, turn)) {
      if (reply.closed()) return;
      if (answered.finish == FinishReason::kCancelled && stopping_) {
        throw unavailable("the server is shutting down; the answer was cut", kRetryAfterS);
      }
      writer->finish(number++, answered);
    }
  }
  writer->end();
}

void Service::check_context(const Conversation& conversation, const Model& model) {
  if (conversation.prompt_tokens() >= model.context_tokens()) {
    throw context_too_small(conversation.prompt_tokens(), model.context_tokens());
  }
}

}  // namespace tessera::server
