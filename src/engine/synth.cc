// Synthetic checkpoints: a Hugging Face directory, written front to back in blocks.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file_map.h"
#include "base/thread_pool.h"
#include "engine/synth_files.h"
#include "engine/synth_values.h"
#include "format/safetensors_writer.h"
#include "model/names.h"

namespace tessera {
namespace {

constexpr int64_t kShardBytes = 5'000'000'000;        // one file up to here, as most conversions are cut
constexpr int64_t kBlockElements = int64_t{1} << 24;  // computed, then written: 32 MiB
constexpr int64_t kItemElements = int64_t{1} << 18;   // of one thread at a time
constexpr int kDrafterLayers = 4;

int64_t elements_of(const ExpectedTensor& tensor) {
  int64_t n = 1;
  for (const int64_t size : tensor.shape) n *= size;
  return n;
}

void write_text(const std::string& path, const std::string& text) {
  write_file(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

/// Creates the directory; refuses one that already holds a checkpoint: it could be somebody's real weights.
void prepare_directory(const std::string& directory) {
  if (directory.empty()) throw_error(ErrorKind::kBadRequest, "synth: no directory given");
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw_error(ErrorKind::kIo, "{}: cannot create the directory: {}", directory, error.message());
  for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json"})
    if (file_exists(directory + "/" + name))
      throw_error(ErrorKind::kBadRequest,
                  "{}: already holds a checkpoint ({}); give a new directory or remove that one", directory,
                  name);
}

void check_free_space(const std::string& directory, int64_t bytes) {
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  if (!error && space.available < static_cast<uint64_t>(bytes))
    throw_error(ErrorKind::kTooLarge, "{}: the weights take {} bytes, the disk has {} free", directory, bytes,
                space.available);
}

/// Consecutive tensors of at most kShardBytes, or one tensor.
std::vector<std::vector<ExpectedTensor>> cut_shards(const std::vector<ExpectedTensor>& tensors) {
  std::vector<std::vector<ExpectedTensor>> shards;
  int64_t bytes = kShardBytes;
  for (const ExpectedTensor& tensor : tensors) {
    const int64_t more = 2 * elements_of(tensor);
    if (shards.empty() || bytes + more > kShardBytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += more;
  }
  return shards;
}

std::string index_json(const std::vector<std::vector<ExpectedTensor>>& shards,
                       const std::vector<std::string>& names, int64_t bytes) {
  nlohmann::json index;
  index["metadata"]["total_size"] = bytes;
  for (size_t i = 0; i < shards.size(); ++i)
    for (const ExpectedTensor& tensor : shards[i]) index["weight_map"][tensor.name] = names[i];
  return index.dump(2) + "\n";
}

/// Computes and writes values; knows how far the whole is.
class WeightWriter {
 public:
  WeightWriter(const SynthOptions& options, int64_t total_elements)
      : options_(options), total_elements_(total_elements), pool_(options.threads), block_(kBlockElements) {}

  void write_file(const std::string& path, const std::vector<ExpectedTensor>& tensors) {
    std::vector<SafetensorsWriter::Entry> entries;
    for (const ExpectedTensor& tensor : tensors)
      entries.push_back({tensor.name, FileType::kBF16, tensor.shape});
    SafetensorsWriter file(path, entries);
    for (const ExpectedTensor& tensor : tensors) write_tensor(file, tensor);
    file.finish();
  }

 private:
  void write_tensor(SafetensorsWriter& file, const ExpectedTensor& tensor) {
    const SynthLaw law =
        synth_law(tensor.name, tensor.shape.back(), options_.assistant ? kDrafterLayers : options_.layers);
    const uint64_t seed = synth_seed(tensor.name);
    const int64_t elements = elements_of(tensor);
    for (int64_t first = 0; first < elements; first += kBlockElements) {
      const int64_t count = std::min(kBlockElements, elements - first);
      pool_.run((count + kItemElements - 1) / kItemElements, [&](int64_t item, int) {
        const int64_t begin = item * kItemElements, end = std::min(begin + kItemElements, count);
        synth_values(seed, law, first + begin, {block_.data() + begin, block_.data() + end});
      });
      file.write({reinterpret_cast<const uint8_t*>(block_.data()), static_cast<size_t>(count) * 2});
      done_elements_ += count;
      if (options_.on_progress)
        options_.on_progress(static_cast<double>(done_elements_) / static_cast<double>(total_elements_));
    }
  }

  const SynthOptions& options_;
  int64_t total_elements_, done_elements_ = 0;
  ThreadPool pool_;
  std::vector<uint16_t> block_;  // bfloat16, little-endian as this processor
};

}  // namespace

void synthesize(const SynthOptions& options) {
  if (options.layers < 1 || options.layers > 1024)
    throw_error(ErrorKind::kBadRequest, "synth: {} layers, expected 1 to 1024", options.layers);
  if (options.threads < 0 || options.threads > 1024)
    throw_error(ErrorKind::kBadRequest, "synth: {} threads, expected 0 (one per core) to 1024",
                options.threads);
  prepare_directory(options.directory);
  const std::string prefix = options.directory + "/";
  write_text(prefix + "config.json", options.assistant ? synth_drafter_json(options.tiny)
                                                       : synth_config_json(options.tiny, options.layers));
  write_text(prefix + "generation_config.json", synth_generation_json(options.tiny));
  if (!options.assistant) write_text(prefix + "processor_config.json", synth_processor_json());
  write_text(prefix + "tokenizer.json", synth_tokenizer_json(options.tiny));

  const ModelConfig config = ModelConfig::load(options.directory);
  std::vector<ExpectedTensor> tensors = expected_tensors(config);
  for (ExpectedTensor& tensor : tensors) tensor.name = published_name(config, tensor.name);
  int64_t elements = 0;
  for (const ExpectedTensor& tensor : tensors) elements += elements_of(tensor);
  check_free_space(options.directory, 2 * elements);

  const auto shards = cut_shards(tensors);
  std::vector<std::string> names = {"model.safetensors"};
  if (shards.size() > 1) {
    names.clear();
    for (size_t i = 0; i < shards.size(); ++i)
      names.push_back(fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
    write_text(prefix + "model.safetensors.index.json", index_json(shards, names, 2 * elements));
  }
  WeightWriter writer(options, elements);
  for (size_t i = 0; i < shards.size(); ++i) writer.write_file(prefix + names[i], shards[i]);
}

}  // namespace tessera
