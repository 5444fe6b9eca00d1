#pragma once
// Engines on the tiny checkpoint, loaded once for each set of options, and prompts from its cases.json.
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>

#include "base/file_map.h"
#include "engine/engine_impl.h"
#include "engine/sequence.h"
#include "tessera/tessera.h"

namespace tessera::test {

inline const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

struct BackendCase {
  std::string backend, isa;
  std::string name() const { return isa.empty() ? backend : backend + "_" + isa; }
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

inline std::shared_ptr<Engine> tiny_engine(const BackendCase& c, int chunk = 512, int threads = 2,
                                           int64_t context = 2304) {
  static std::map<std::tuple<std::string, int, int, int64_t>, std::shared_ptr<Engine>> loaded;
  auto& engine = loaded[{c.name(), chunk, threads, context}];
  if (!engine) {
    EngineOptions o;
    o.backend = c.backend;
    o.isa = c.isa;
    if (c.backend == "cuda") o.kv = "f32";  // the goldens are float32's
    o.chunk_tokens = chunk;
    o.threads = threads;
    o.context_tokens = context;
    engine = Engine::load(kTiny, o);
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
