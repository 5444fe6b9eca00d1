#pragma once
// Engines on the tiny checkpoint, loaded once for each set of options, and prompts from its cases.json.
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>

#include "backend/layered_backend.h"
#include "base/error.h"
#include "base/file_map.h"
#include "engine/engine_impl.h"
#include "engine/sequence.h"
#include "support/host_sums.h"
#include "tessera/tessera.h"

namespace tessera::test {

inline const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

/// The likeliest token each time, and on past end tokens.
inline GenerateOptions greedy(int tokens) {
  GenerateOptions o;
  o.sampling.temperature = 0;
  o.max_tokens = tokens;
  o.ignore_end_tokens = true;
  return o;
}

/// On the cpu backend, for so many replies at once.
inline EngineOptions cpu_options(int parallel, int chunk_tokens, int context_tokens, int threads = 2) {
  EngineOptions o;
  o.backend = "cpu";
  o.parallel = parallel;
  o.chunk_tokens = chunk_tokens;
  o.context_tokens = context_tokens;
  o.threads = threads;
  return o;
}

struct BackendCase {
  std::string backend, isa;
  int ranks = 1;        // > 1: a group of so many
  int card_layers = 0;  // > 0: the first so many layers on the backend, the rest on cpu
  std::string name() const {
    return backend + (isa.empty() ? "" : "_" + isa) + (ranks > 1 ? fmt::format("_{}_ranks", ranks) : "") +
           (card_layers > 0 ? fmt::format("_{}_layers", card_layers) : "");
  }
};

/// False where this machine lacks the instruction set: such a case is not selected (it would test nothing).
inline bool available(const BackendCase& c) {
  try {
    if (c.backend == "cpu") make_cpu_backend(1, c.isa);
    return true;
  } catch (const Error&) {
    return false;
  }
}

inline std::vector<BackendCase> backends() {
  std::vector<BackendCase> out;
#ifdef TESSERA_TEST_CUDA
  return {{"cuda", ""}};
#endif
  for (const BackendCase& c :
       {BackendCase{"ref", ""}, {"cpu", "portable"}, {"cpu", "avx2"}, {"cpu", "avx512"}, {"cpu", "amx"}})
    if (available(c)) out.push_back(c);
  return out;
}

/// backends(), and those made of several: groups of ranks, and layers on two sides.
inline std::vector<BackendCase> composed_backends() {
  std::vector<BackendCase> out = backends();
#ifdef TESSERA_TEST_CUDA
  out.push_back({"cuda", "", 1, 5});
  int cards = 0;
  try {
    for (; cards < 4; ++cards) cuda_card(cards);
  } catch (const Error&) {  // NOLINT: that many there are
  }
  for (const int ranks : {2, 4})
    if (ranks <= cards) out.push_back({"cuda", "", ranks});
#else
  out.insert(out.end(), {{"ref", "", 2}, {"cpu", "portable", 4}, {"ref", "", 1, 5}});
#endif
  return out;
}

/// As Engine::load; `o` is the case's.
inline std::shared_ptr<Engine> load_case(const BackendCase& c, const std::string& path, EngineOptions o) {
  o.backend = c.backend;
  o.isa = c.isa;
  if (c.backend == "cuda") {
    if (o.kv.empty()) o.kv = "f32";  // the goldens are float32's
    o.gpus = c.ranks;
    o.gpu_layers = c.card_layers > 0 ? c.card_layers : -1;
    if (c.card_layers > 0) o.isa = "portable";  // amx sums float32 weights otherwise than bfloat16 ones
    return Engine::load(path, o);
  }
  if (c.ranks == 1 && c.card_layers == 0) return Engine::load(path, o);
  auto one = [&] { return c.backend == "ref" ? make_ref_backend() : make_cpu_backend(1, c.isa); };
  std::unique_ptr<Backend> with;
  if (c.card_layers > 0) {
    const auto layers = static_cast<int>(inspect_model(path).layers.size());
    with = make_layered_backend(one(), make_cpu_backend(1, "portable"), c.card_layers, layers);
  } else {
    std::vector<std::unique_ptr<Backend>> ranks;
    for (int i = 0; i < c.ranks; ++i) ranks.push_back(one());
    with = make_group_backend(std::move(ranks), std::make_unique<HostSums>(c.ranks));
  }
  return make_engine(std::make_unique<EngineImpl>(path, o, std::move(with)));
}

inline std::shared_ptr<Engine> tiny_engine(const BackendCase& c, int chunk = 512, int threads = 2,
                                           int64_t context = 2304) {
  static std::map<std::tuple<std::string, int, int, int64_t>, std::shared_ptr<Engine>> loaded;
  auto& engine = loaded[{c.name(), chunk, threads, context}];
  if (!engine) {
    EngineOptions o;
    o.chunk_tokens = chunk;
    o.threads = threads;
    o.context_tokens = context;
    engine = load_case(c, kTiny, o);
  }
  return engine;
}

inline nlohmann::json tiny_cases() {
  return nlohmann::json::parse(read_text_file(kTiny + "/cases.json", 1 << 24));
}

inline Media tiny_media(const nlohmann::json& part) {
  const std::string file = kTiny + "/media/" + part[1].get<std::string>();
  const std::vector<uint8_t> bytes = read_binary_file(file, 1 << 24);
  return part[0] == "image" ? Media::image(bytes, file, part[2].get<int>()) : Media::audio(bytes, file);
}

/// <bos> and the parts of one of cases.json's prompts.
inline Sequence prompt_of(const EngineImpl& engine, const nlohmann::json& parts) {
  Sequence s(engine.config, engine.tokenizer);
  s.append_tokens(std::vector{engine.config.bos});
  for (const auto& p : parts)
    if (p.is_string())
      s.append_text(p.get<std::string>());
    else
      s.append_media(tiny_media(p));
  s.flush();
  return s;
}

}  // namespace tessera::test
