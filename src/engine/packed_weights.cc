#include "engine/packed_weights.h"

#include <filesystem>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/cpu_topology.h"
#include "base/error.h"

namespace tessera {
namespace {

constexpr int64_t kMinPackFileBytes = int64_t{1} << 30;

}  // namespace

std::unique_ptr<PackFile> open_packed_weights(const std::string& directory, const TensorStore& store,
                                              ModelInfo& info) {
  if (directory.empty() || info.weight_bytes < kMinPackFileBytes) return nullptr;
  const std::string stem = std::filesystem::path(info.path).stem().string();
  std::vector<std::string> sources = store.paths();
  std::erase(sources, info.mmproj);  // nothing of it is kept
  const auto name = name_pack_file(directory, stem, sources, kCpuPackVersion);
  if (!name) return nullptr;
  // What it reads ahead is for the threads of all nodes.
  const InterleavedMemory interleaved(place_threads(read_cpu_topology(), 1, false).memory_nodes);
  std::string why;
  auto file = PackFile::open(name->path, name->key,
                             info.weight_bytes + info.weight_bytes / 50 + (int64_t{64} << 20), why);
  if (!file)
    info.note += fmt::format("{}packed weights are not kept: {}", info.note.empty() ? "" : "; ", why);
  return file;
}

}  // namespace tessera
