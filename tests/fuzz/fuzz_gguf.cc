// A GGUF model or mmproj from any bytes: Error, or a model that can be bound and read; nothing else.
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "engine/model_info.h"
#include "engine/model_source.h"
#include "format/gguf.h"
#include "model/model.h"
#include "support/gguf_model.h"
#include "tessera/tessera.h"

namespace {

using namespace tessera;

const TempDir& folder() {
  static const TempDir dir;
  return dir;
}

const test::BlockKind& q8_0() {
  static const test::BlockKind kind = test::block_kinds()[4];
  return kind;
}

void check_views(const GgufFile& file, const uint8_t* data, size_t size) {
  uint64_t sum = 0;
  for (const auto& entry : file.entries) {
    const auto& bytes = entry.tensor.bytes;
    if (bytes.data() < data || bytes.data() + bytes.size() > data + size) std::abort();
    for (const uint8_t byte : bytes) sum += byte;  // every byte of a view can be read
  }
  for (const auto& [key, value] : file.metadata.values()) {
    if (value.is_array && value.type == GgufType::kString) {
      const auto strings = file.metadata.strings(key);
      for (const auto text : *strings) sum += text.size();
    }
    for (const uint8_t byte : value.bytes) sum += byte;
  }
  volatile uint64_t keep = sum;
  (void)keep;
}

}  // namespace

/// Called before the seeds are read: the last argument is their folder (scripts/fuzz.sh).
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  const std::string model = test::quantised_gguf(q8_0(), 1, test::small_geometry()).bytes(),
                    media = test::quantised_mmproj(q8_0(), 2, 32).bytes();
  folder().write("good.gguf", model);
  const std::filesystem::path seeds = (*argv)[*argc - 1];
  if (std::filesystem::is_directory(seeds)) {
    std::ofstream(seeds / "model.gguf", std::ios::binary) << model;
    std::ofstream(seeds / "mmproj.gguf", std::ios::binary) << media;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const GgufFile file = parse_gguf({data, size}, "fuzz");
    check_views(file, data, size);
    const std::string path = folder().write("input.bin", {reinterpret_cast<const char*>(data), size});
    const bool media = file.metadata.text_or("general.architecture", "") == "clip";
    const ModelSource source = media ? open_model(folder().file("good.gguf"), path) : open_model(path, "");
    model_info(source.config, source.store, &*source.tokenizer);
    source.tokenizer->encode("the <|turn>\n\xff");
    const auto backend = make_ref_backend();
    bind_model(source.config, source.store, *backend, {});
  } catch (const Error&) {
  }
  return 0;
}
