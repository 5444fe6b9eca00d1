// tessera serve: the HTTP server. Options come from the command line, then TESSERA_* variables, then a TOML
// file.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/model_path.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "server/server.h"

namespace tessera::cli {
namespace {

struct ServeFlags {
  std::string model, config, key_file, log_level = "info", log_format = "text", log_file, reasoning = "off",
                                       media_process = "auto";
  EngineFlags engine;
  server::ServerOptions server;
  int64_t cache_ram_mb = 0, cache_disk_mb = 8192;
  int max_body_mb = 64, grace_s = 30, ping_s = 15, request_timeout_s = 0;
  double max_audio_s = MediaLimits().max_audio_s;
};

// A connection is a file descriptor; the soft limit is often 1,024 for the sake of programs that use
// select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
}

// SIGINT and SIGTERM are taken by sigwait() in one thread; blocked before any other thread starts.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void finish_options(ServeFlags& flags) {
  server::ServerOptions& o = flags.server;
  o.version = TESSERA_VERSION;
  o.thinking = flags.reasoning == "on";
  o.http.max_body_bytes = int64_t{flags.max_body_mb} << 20;
  o.http.keep_alive_ms = flags.ping_s * 1000;
  o.http.max_connections = std::min(o.http.max_connections, std::max(16, descriptors() - 128));
  o.request_timeout_ms = flags.request_timeout_s * 1000;
  o.media.max_bytes = o.http.max_body_bytes;
  o.media.limits.max_audio_s = flags.max_audio_s;
  if (!flags.key_file.empty()) {
    for (auto& key : server::read_key_file(flags.key_file)) o.access.api_keys.push_back(std::move(key));
  }
  std::erase(o.access.api_keys, "");
  o.access.loopback = server::is_loopback(o.http.host);
  if (o.http.tls_cert_path.empty() != o.http.tls_key_path.empty()) {
    throw UsageError("TLS needs both --tls-cert and --tls-key");
  }
}

// Before there are other threads, so that the process for decoding is there when the first request comes.
void start_media_process(ServeFlags& flags, server::Log& log) {
  using server::LogLevel;
  if (flags.media_process == "off") return;
  MediaProcessOptions options;
  options.command = {"/proc/self/exe", "media-process"};
  // Nothing else of the environment: it may hold keys.
  if (const char* folders = std::getenv("LD_LIBRARY_PATH"))
    options.environment.push_back(std::string("LD_LIBRARY_PATH=") + folders);
  options.max_at_once = std::max(4, static_cast<int>(std::thread::hardware_concurrency()));
  options.on_failure = [&log](const std::string& what) {
    log.write(LogLevel::kWarning, "media_process", {{"why", what}});
  };
  try {
    flags.server.media.limits.process = std::make_shared<MediaProcess>(std::move(options));
    log.write(LogLevel::kInfo, "media", {{"decoded", "in confined processes"}});
  } catch (const Error& error) {
    if (flags.media_process == "on") {
      throw_error(ErrorKind::kIo, "{}; --media-process auto or off decodes media in the server itself",
                  error.what());
    }
    log.write(LogLevel::kWarning, "media", {{"decoded", "in the server itself"}, {"why", error.what()}});
  }
}

int serve(CLI::App& command, ServeFlags& flags) {
  if (!flags.config.empty()) apply_config_file(command, flags.config);
  const sigset_t signals = block_signals();
  raise_descriptor_limit();
  finish_options(flags);
  using server::LogLevel;
  const LogLevel level = flags.log_level == "error"     ? LogLevel::kError
                         : flags.log_level == "warning" ? LogLevel::kWarning
                         : flags.log_level == "debug"   ? LogLevel::kDebug
                                                        : LogLevel::kInfo;
  server::Log log(level, flags.log_format == "json", flags.log_file);
  const std::string model = resolve_model(flags.model);
  start_media_process(flags, log);
  server::Server server(flags.server, log);
  log.write(LogLevel::kInfo, "listening",
            {{"address", server.address()}, {"pid", static_cast<int>(::getpid())}});
  if (!flags.server.access.loopback && flags.server.access.api_keys.empty()) {
    log.write(
        LogLevel::kWarning, "open",
        {{"why",
          "bound to other machines without an API key: whoever reaches this port may use the model; set "
          "--api-key-file, or bind to 127.0.0.1"}});
  }

  // Loading goes on beside the server, which says 503 until it is done; a signal ends both.
  std::exception_ptr failed;
  std::thread loader([&] {
    try {
      EngineFlags engine = flags.engine;
      engine.options.parallel = flags.server.parallel;
      engine.options.max_queue = flags.server.max_queue;
      engine.options.cache_ram_bytes = flags.cache_ram_mb << 20;
      engine.options.cache_disk_bytes = flags.cache_disk_mb << 20;
      auto loaded = load_engine(model, engine);
      log.write(
          LogLevel::kInfo, "ready",
          {{"model", model}, {"backend", loaded->backend()}, {"context", loaded->options().context_tokens}});
      server.set_model(server::make_engine_model(std::move(loaded)));
    } catch (...) {
      failed = std::current_exception();
      ::kill(::getpid(), SIGTERM);
    }
  });
  int signal = 0;
  ::sigwait(&signals, &signal);
  log.write(LogLevel::kInfo, "stopping",
            {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}, {"grace_s", flags.grace_s}});
  // A second signal ends the program at once.
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  loader.join();
  server.shutdown(failed ? 0 : flags.grace_s * 1000);
  if (failed) std::rethrow_exception(failed);
  log.write(LogLevel::kInfo, "stopped");
  return kExitOk;
}

void add_server_flags(CLI::App& command, ServeFlags& flags) {
  server::ServerOptions& o = flags.server;
  const auto add = [&](const char* group, const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->group(group)->type_name(type);
  };
  add("Server", "--host", o.http.host, "address to listen on; 0.0.0.0 or :: for all (default: 127.0.0.1)",
      "ADDRESS");
  add("Server", "--port", o.http.port, "port to listen on; 0: any free one (default: 8080)", "N")
      ->check(CLI::Range(0, 65535));
  add("Server", "--alias", o.model_name, "name that the model goes by (default: its folder or file)", "NAME");
  add("Server", "--parallel", o.parallel,
      "requests that generate at once, each with a KV cache of --ctx tokens (default: 4)", "N")
      ->check(CLI::Range(1, 1024));
  add("Server", "--max-queue", o.max_queue, "… and that wait; over it 503 with Retry-After (default: 64)",
      "N")
      ->check(CLI::Range(0, 1 << 16));
  add("Server", "--max-step-ms", flags.engine.options.max_step_ms,
      "what a long prompt may add to the time between two tokens of the others (default: 200)", "MS")
      ->check(CLI::Range(1.0, 60000.0));
  add("Server", "--cache-ram", flags.cache_ram_mb,
      "memory for prefixes of earlier conversations, MiB (default: 0)", "N")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  add("Server", "--cache-disk", flags.engine.options.cache_dir,
      "folder for them, kept over restarts (default: none)", "DIR");
  add("Server", "--cache-disk-mb", flags.cache_disk_mb, "… and how much of it, MiB (default: 8192)", "N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  add("Server", "--request-timeout", flags.request_timeout_s,
      "end an answer after this many seconds (default: never)", "S")
      ->check(CLI::Range(0, 1 << 20));
  add("Server", "--grace", flags.grace_s, "seconds that running answers have after SIGTERM (default: 30)",
      "S")
      ->check(CLI::Range(0, 1 << 20));
  add("Server", "--ping", flags.ping_s, "seconds of silence before a stream gets a keep-alive (default: 15)",
      "S")
      ->check(CLI::Range(1, 3600));
  add("Server", "--config", flags.config, "TOML file with these options, without the dashes", "FILE");

  add("Answers", "--max-tokens", o.max_tokens,
      "tokens of an answer when the request does not say (default: no limit)", "N")
      ->check(CLI::Range(1, 1 << 24));
  add("Answers", "--reasoning", flags.reasoning,
      "think when the request does not say: on or off (default: off)", "WHEN")
      ->check(CLI::IsMember({"on", "off"}));
  add("Answers", "--reasoning-budget", o.reasoning_budget,
      "tokens of a thought when the request does not say (default: no limit)", "N")
      ->check(CLI::Range(-1, 1 << 24));

  add("Security", "--api-key", o.access.api_keys, "key that requests must have; may be repeated", "KEY")
      ->allow_extra_args(false);
  add("Security", "--api-key-file", flags.key_file, "file with such keys, one a line", "FILE");
  add("Security", "--cors-origin", o.access.origins,
      "origin whose web pages may ask; may be repeated; *: all", "ORIGIN")
      ->allow_extra_args(false);
  add("Security", "--allowed-host", o.access.hosts,
      "host name this server goes by, beside localhost; may be repeated", "NAME")
      ->allow_extra_args(false);
  add("Security", "--tls-cert", o.http.tls_cert_path, "certificate chain, PEM", "FILE");
  add("Security", "--tls-key", o.http.tls_key_path, "its private key, PEM", "FILE");
  add("Security", "--max-body-mb", flags.max_body_mb,
      "largest request, and largest media file, MiB (default: 64)", "N")
      ->check(CLI::Range(1, 4096));
  add("Security", "--max-connections", o.http.max_connections,
      "open connections; over it the idlest is closed (default: 4096)", "N")
      ->check(CLI::Range(1, 1 << 20));

  command.add_flag("--media-urls", o.media.fetch_urls, "fetch media from public http(s) addresses")
      ->group("Media");
  command.add_flag("--media-private", o.media.fetch_private, "… and from this machine and private networks")
      ->group("Media");
  add("Media", "--media-dir", o.media.file_dir, "folder below which file:// addresses are read", "DIR");
  add("Media", "--max-audio-s", flags.max_audio_s, "longest recording, in seconds (default: 600)", "S")
      ->check(CLI::Range(1.0, 86400.0));
  add("Media", "--max-media", o.media.max_parts, "images, sounds and videos in one request (default: 64)",
      "N")
      ->check(CLI::Range(0, 4096));

  add("Media", "--media-process", flags.media_process,
      "decode in processes that can open nothing: on, off, auto: where that works (default: auto)", "WHEN")
      ->check(CLI::IsMember({"auto", "on", "off"}));

  add("Logs", "--log-level", flags.log_level, "error, warning, info or debug (default: info)", "LEVEL")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}));
  add("Logs", "--log-format", flags.log_format, "text or json (default: text)", "FORMAT")
      ->check(CLI::IsMember({"text", "json"}));
  add("Logs", "--log-file", flags.log_file, "append to this file (default: standard error)", "FILE");
  command.add_flag("--log-prompts", o.log_prompts, "log what is asked; off, because it is private")
      ->group("Logs");
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  auto& command = add_command(
      app, "serve", "Serve the model over HTTP: the OpenAI, Anthropic and Ollama APIs.", "[MODEL]",
      "  tessera serve\n"
      "  tessera serve path/to/model --port 8000 --parallel 8 --ctx 32768\n"
      "  tessera serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert cert.pem --tls-key key.pem\n"
      "  tessera serve --config serve.toml\n"
      "Each option is also a variable: TESSERA_MAX_QUEUE=8 is --max-queue 8. docs/API.md has the "
      "endpoints.\n");
  auto flags = std::make_shared<ServeFlags>();
  command.add_option("MODEL", flags->model, "model directory or .gguf file (default: models/mini)")
      ->type_name("");
  add_model_flag(command, flags->model);
  add_server_flags(command, *flags);
  add_engine_flags(command, flags->engine);
  for (CLI::Option* option :
       command.get_options([](const CLI::Option* o) { return !o->get_lnames().empty(); })) {
    std::string name = option->get_lnames().front();
    if (name == "help") continue;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
    option->envname("TESSERA_" + name);
  }
  command.callback(
      [flags, &command, &action] { action = [flags, &command] { return serve(command, *flags); }; });
}

}  // namespace tessera::cli
