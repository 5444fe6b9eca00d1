#include "format/tensor_file.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "format/json.h"
#include "format/safetensors.h"

namespace tessera {
namespace {

constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

/// What weight-like files a directory holds, for the error that none of the expected ones is there.
std::string weight_files_found(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(directory, ignored), end; !ignored && it != end;
       it.increment(ignored)) {
    const std::string extension = it->path().extension().string();
    if (extension == ".safetensors" || extension == ".gguf" || extension == ".bin")
      found.push_back(printable(it->path().filename().string()));
    if (found.size() == 8) break;
  }
  return found.empty() ? "no weight files" : fmt::format("{}", fmt::join(found, ", "));
}

/// A shard is a plain file name: an index must not reach outside its directory.
bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name != "." && name.find("..") == std::string::npos &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

std::map<std::string, std::string> read_weight_map(const std::string& index_path) {
  const FileJson json = read_json_file(index_path, kMaxIndexBytes);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw_error(ErrorKind::kBadModel, "{}: no \"weight_map\" object (tensor name to file)", index_path);
  std::map<std::string, std::string> files;
  for (const auto& [name, file] : json["weight_map"].items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>()))
      throw_error(ErrorKind::kBadModel,
                  "{}: tensor {} is said to be in {}, expected a file name of this directory", index_path,
                  printable(name), printable(file.dump(-1, ' ', false, FileJson::error_handler_t::replace)));
    files[name] = file.get<std::string>();
  }
  if (files.empty()) throw_error(ErrorKind::kBadModel, "{}: the weight_map is empty", index_path);
  return files;
}

struct TypeRow {
  FileType type;
  const char* name;
  int64_t bytes;
};
constexpr TypeRow kTypes[] = {
    {FileType::kF32, "F32", 4},       {FileType::kF16, "F16", 2},        {FileType::kBF16, "BF16", 2},
    {FileType::kI8, "I8", 1},         {FileType::kU8, "U8", 1},          {FileType::kI16, "I16", 2},
    {FileType::kI32, "I32", 4},       {FileType::kU32, "U32", 4},        {FileType::kI64, "I64", 8},
    {FileType::kF64, "F64", 8},       {FileType::kF8E4M3, "F8_E4M3", 1}, {FileType::kF8E5M2, "F8_E5M2", 1},
    {FileType::kBool, "BOOL", 1},     {FileType::kQ4_0, "Q4_0", 0},      {FileType::kQ4_1, "Q4_1", 0},
    {FileType::kQ5_0, "Q5_0", 0},     {FileType::kQ5_1, "Q5_1", 0},      {FileType::kQ8_0, "Q8_0", 0},
    {FileType::kQ4_K, "Q4_K", 0},     {FileType::kQ5_K, "Q5_K", 0},      {FileType::kQ6_K, "Q6_K", 0},
    {FileType::kIQ4_NL, "IQ4_NL", 0},
};

}  // namespace

const char* to_string(FileType type) {
  for (const TypeRow& row : kTypes)
    if (row.type == type) return row.name;
  return "?";
}

int64_t type_bytes(FileType type) {
  for (const TypeRow& row : kTypes)
    if (row.type == type) return row.bytes;
  return 0;
}

int64_t FileTensor::elements() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;  // bounded by the file's size when its header was read
  return n;
}

std::string FileTensor::shape_text() const {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

TensorStore TensorStore::open_file(const std::string& path) {
  TensorStore store;
  store.add_file(path);
  return store;
}

TensorStore TensorStore::open_directory(const std::string& directory) {
  const std::string single = directory + "/" + kSingleFile, index = directory + "/" + kIndexFile;
  if (!file_exists(directory)) throw_error(ErrorKind::kIo, "{}: no such directory", directory);
  if (file_exists(single)) return open_file(single);
  if (!file_exists(index))
    throw_error(ErrorKind::kIo,
                "{}: found {}, expected {} or {}; give the directory of a Hugging Face checkpoint", directory,
                weight_files_found(directory), kSingleFile, kIndexFile);

  const std::map<std::string, std::string> weight_map = read_weight_map(index);
  std::map<std::string, std::string>
      first_tensor_of;  // file → one of its tensors, for the error of a missing file
  for (const auto& [name, file] : weight_map) first_tensor_of.emplace(file, name);
  TensorStore store;
  for (const auto& [file, name] : first_tensor_of) {
    const std::string path = directory + "/" + file;
    if (!file_exists(path))
      throw_error(ErrorKind::kIo, "{}: missing; {} says that it holds {}: download the whole checkpoint",
                  path, kIndexFile, printable(name));
    store.add_file(path);
  }
  for (const auto& [name, file] : weight_map) {
    const std::string canonical = canonical_name(name), path = directory + "/" + file;
    if (canonical.empty()) continue;
    const auto found = store.tensors_.find(canonical);
    const bool unknown = store.unknown_types_.contains(canonical);
    if (!unknown && (found == store.tensors_.end() || found->second.file != path))
      throw_error(ErrorKind::kBadModel, "{}: has no tensor {}, although {} says so", path, printable(name),
                  kIndexFile);
  }
  return store;
}

void TensorStore::add_file(const std::string& path) {
  auto map = std::make_unique<FileMap>(path);
  SafetensorsHeader header = parse_safetensors(map->bytes(), path);
  for (SafetensorsEntry& entry : header.entries) {
    const std::string canonical = canonical_name(entry.tensor.name);
    if (canonical.empty()) continue;
    const std::string unknown =
        entry.known_type ? ""
                         : fmt::format("{}; use a BF16, F16 or F32 checkpoint", printable(entry.type_name));
    add(canonical, std::move(entry.tensor), unknown);
  }
  metadata_.merge(header.metadata);  // the first file's entry stays
  maps_.push_back(std::move(map));
}

void TensorStore::add(const std::string& canonical, FileTensor tensor, const std::string& unknown_type) {
  if (const auto other = tensors_.find(canonical); other != tensors_.end())
    throw_error(ErrorKind::kBadModel, "{}: tensor {} is there twice, also as {} in {}", tensor.file,
                printable(tensor.name), printable(other->second.name), other->second.file);
  if (unknown_types_.contains(canonical))
    throw_error(ErrorKind::kBadModel, "{}: tensor {} is there twice", tensor.file, printable(tensor.name));
  if (unknown_type.empty())
    tensors_.emplace(canonical, std::move(tensor));
  else
    unknown_types_.emplace(canonical, fmt::format("{}: this version cannot read tensor {} of type {}",
                                                  tensor.file, printable(tensor.name), unknown_type));
}

const FileTensor* TensorStore::find(std::string_view canonical) const {
  const auto it = tensors_.find(canonical);
  if (it != tensors_.end()) return &it->second;
  if (const auto unknown = unknown_types_.find(canonical); unknown != unknown_types_.end())
    throw Error(ErrorKind::kBadModel, unknown->second);
  return nullptr;
}

std::vector<std::string> TensorStore::paths() const {
  std::vector<std::string> out;
  for (const auto& map : maps_) out.push_back(map->path());
  return out;
}

int64_t TensorStore::file_bytes() const {
  int64_t bytes = 0;
  for (const auto& map : maps_) bytes += static_cast<int64_t>(map->bytes().size());
  return bytes;
}

}  // namespace tessera
