#include "engine/model_source.h"

#include <filesystem>

#include "base/error.h"
#include "base/file_map.h"
#include "format/gguf.h"
#include "format/json.h"
#include "model/names.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxTokenizerBytes = int64_t{512} << 20;  // the published file has 32 MB
constexpr size_t kMaxTokens = size_t{1} << 24;

Tokenizer gguf_tokenizer(const GgufMetadata& file) {
  if (file.text_or("tokenizer.ggml.model", "") != "gemma4")
    file.refuse("tokenizer.ggml.model", "\"gemma4\"; convert the model again");
  const auto tokens = file.strings("tokenizer.ggml.tokens"), merges = file.strings("tokenizer.ggml.merges");
  const auto types = file.integers("tokenizer.ggml.token_type", INT32_MIN, INT32_MAX, kMaxTokens);
  if (!tokens) file.refuse("tokenizer.ggml.tokens", "an array of strings");
  if (!types) file.refuse("tokenizer.ggml.token_type", "an array of integers, one for each token");
  if (!merges) file.refuse("tokenizer.ggml.merges", "an array of strings");
  return Tokenizer::from_parts({*tokens, std::vector<int32_t>(types->begin(), types->end()), *merges},
                               file.file());
}

Tokenizer directory_tokenizer(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  return Tokenizer::from_json(read_text_file(path, kMaxTokenizerBytes), path);
}

/// A directory whose model lies in it as a GGUF, or a file of another kind: say so before config.json is
/// missed.
void check_directory(const std::string& path) {
  if (file_exists(path + "/config.json")) return;
  std::error_code failed;
  if (fs::is_regular_file(path, failed))
    throw_error(ErrorKind::kBadModel,
                "{}: is neither a GGUF file nor a directory with config.json, tokenizer.json and safetensors",
                path);
  for (fs::directory_iterator it(path, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (name.ends_with(".gguf") && name.find("mmproj") == std::string::npos)
      throw_error(ErrorKind::kIo, "{}: has no config.json, but {}; name that file itself", path,
                  printable(name));
  }
}

ModelSource open_gguf_model(const std::string& path, const std::string& mmproj) {
  TensorStore store = TensorStore::open_gguf(path, mmproj);
  ModelConfig config = as_stored(ModelConfig::load_gguf(store), store);
  if (config.drafter) return {std::move(store), std::move(config), std::nullopt, "", ""};
  Tokenizer tokenizer = gguf_tokenizer(*store.gguf());
  return {std::move(store), std::move(config), std::move(tokenizer), mmproj, ""};
}

ModelSource open_directory_model(const std::string& path) {
  ModelConfig config = ModelConfig::load(path);
  std::optional<Tokenizer> tokenizer;
  if (file_exists(path + "/tokenizer.json")) tokenizer = directory_tokenizer(path);
  TensorStore store = TensorStore::open_directory(path);
  config = as_stored(std::move(config), store);
  return {std::move(store), std::move(config), std::move(tokenizer), "", ""};
}

bool is_drafter_file(const std::string& path) {
  return is_drafter_architecture(
      TensorStore::open_gguf(path, "").gguf()->text_or("general.architecture", ""));
}

}  // namespace

ModelSource open_model(const std::string& path, const std::string& mmproj) {
  ModelSource source = open_any(path, mmproj);
  if (source.config.drafter)
    throw_error(ErrorKind::kBadModel,
                "{}: this is a drafter: name the model itself, and this with --draft-model", path);
  return source;
}

ModelSource open_drafter(const std::string& path) {
  ModelSource source = open_any(path, "");
  if (!source.config.drafter)
    throw_error(ErrorKind::kBadModel, "{}: this is a model, not a drafter (gemma4_unified_assistant)", path);
  return source;
}

ModelSource open_any(const std::string& path, const std::string& mmproj) {
  if (!is_gguf_path(path)) {
    if (!mmproj.empty())
      throw_error(
          ErrorKind::kBadRequest,
          "{}: an mmproj goes with a GGUF model, but {} is a directory, which has its own vision and audio",
          mmproj, path);
    check_directory(path);
    return open_directory_model(path);
  }
  if (!mmproj.empty()) return open_gguf_model(path, mmproj);
  const MmprojChoice choice = is_drafter_file(path) ? MmprojChoice{} : choose_mmproj(path);
  std::string note = choice.note;
  try {
    ModelSource source = open_gguf_model(path, choice.path);
    source.note = note;
    return source;
  } catch (const Error& error) {
    if (choice.path.empty() || choice.sure) throw;
    note = fmt::format("{} was not used: {}", choice.path, error.what());
  }
  ModelSource source = open_gguf_model(path, "");  // what is wrong with the model itself is thrown here again
  source.note = note;
  return source;
}

ModelConfig read_config(const std::string& path) {
  if (is_gguf_path(path)) return ModelConfig::load_gguf(TensorStore::open_gguf(path, ""));
  check_directory(path);
  return ModelConfig::load(path);
}

Tokenizer load_tokenizer(const std::string& path) {
  return is_gguf_path(path) ? gguf_tokenizer(*TensorStore::open_gguf(path, "").gguf())
                            : directory_tokenizer(path);
}

}  // namespace tessera
