#include "format/safetensors.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "format/json.h"

namespace tessera {
namespace {

constexpr size_t kMaxRank = 8;

/// The types that safetensors knows, by the name it has for them.
std::optional<FileType> type_from(const std::string& name) {
  for (auto type = FileType::kF32; type <= FileType::kBool;
       type = static_cast<FileType>(static_cast<int>(type) + 1))
    if (name == to_string(type)) return type;
  return std::nullopt;
}

/// A member of one tensor's JSON object; throws when it is absent.
const FileJson& member(const FileJson& entry, const char* key, const std::string& path,
                       const std::string& name) {
  const auto it = entry.find(key);
  if (it == entry.end())
    throw_error(ErrorKind::kBadModel, "{}: tensor {} has no \"{}\" in the header", path, printable(name),
                key);
  return *it;
}

/// A non-negative integer that fits int64; nothing else ("1.0", "-1", "1e3" and NaN are refused).
int64_t count_from(const FileJson& value, const char* what, const std::string& path,
                   const std::string& name) {
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!value.is_number_unsigned() || value.get<uint64_t>() > kMax)
    throw_error(
        ErrorKind::kBadModel, "{}: tensor {} has {} in its {}, expected an integer from 0 to 2^63 - 1", path,
        printable(name), printable(value.dump(-1, ' ', false, FileJson::error_handler_t::replace)), what);
  return static_cast<int64_t>(value.get<uint64_t>());
}

std::vector<int64_t> shape_from(const FileJson& value, const std::string& path, const std::string& name) {
  if (!value.is_array() || value.size() > kMaxRank)
    throw_error(ErrorKind::kBadModel, "{}: tensor {} has shape {}, expected a list of at most {} sizes", path,
                printable(name), printable(value.dump(-1, ' ', false, FileJson::error_handler_t::replace)),
                kMaxRank);
  std::vector<int64_t> shape;
  for (const FileJson& size : value) shape.push_back(count_from(size, "shape", path, name));
  return shape;
}

/// product(shape) * type size; throws on overflow.
int64_t bytes_of(const FileTensor& tensor) {
  int64_t bytes = type_bytes(tensor.type);
  for (const int64_t size : tensor.shape)
    if (__builtin_mul_overflow(bytes, size, &bytes))
      throw_error(ErrorKind::kBadModel, "{}: tensor {} of shape {} has more than 2^63 bytes", tensor.file,
                  printable(tensor.name), tensor.shape_text());
  return bytes;
}

SafetensorsEntry entry_from(const std::string& name, const FileJson& json, std::span<const uint8_t> data,
                            const std::string& path) {
  if (!json.is_object())
    throw_error(ErrorKind::kBadModel, "{}: header entry {} is not an object", path, printable(name));
  SafetensorsEntry entry;
  entry.tensor.name = name;
  entry.tensor.file = path;
  const FileJson& type = member(json, "dtype", path, name);
  if (!type.is_string())
    throw_error(ErrorKind::kBadModel, "{}: tensor {} has a dtype that is not a string", path,
                printable(name));
  entry.type_name = type.get<std::string>();
  const std::optional<FileType> known = type_from(entry.type_name);
  entry.known_type = known.has_value();
  entry.tensor.type = known.value_or(FileType::kU8);
  entry.tensor.shape = shape_from(member(json, "shape", path, name), path, name);

  const FileJson& offsets = member(json, "data_offsets", path, name);
  if (!offsets.is_array() || offsets.size() != 2)
    throw_error(ErrorKind::kBadModel, "{}: tensor {} has data_offsets that are not [begin, end]", path,
                printable(name));
  const int64_t begin = count_from(offsets[0], "data_offsets", path, name);
  const int64_t end = count_from(offsets[1], "data_offsets", path, name);
  const auto data_bytes = static_cast<int64_t>(data.size());
  if (begin > end || end > data_bytes)
    throw_error(
        ErrorKind::kBadModel,
        "{}: tensor {} lies at bytes {} to {} of the data area, which has {}; the file is cut short or its "
        "header is damaged: download it again",
        path, printable(name), begin, end, data_bytes);
  if (entry.known_type && bytes_of(entry.tensor) != end - begin)
    throw_error(ErrorKind::kBadModel, "{}: tensor {} has {} bytes, expected {} for {} {}", path,
                printable(name), end - begin, bytes_of(entry.tensor), entry.type_name,
                entry.tensor.shape_text());
  entry.tensor.bytes = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return entry;
}

std::map<std::string, std::string> metadata_from(const FileJson& json, const std::string& path) {
  if (!json.is_object()) throw_error(ErrorKind::kBadModel, "{}: __metadata__ is not an object", path);
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string())
      throw_error(ErrorKind::kBadModel, "{}: __metadata__ entry {} is not a string", path, printable(key));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

void check_overlaps(const std::vector<SafetensorsEntry>& in_data_order) {
  const SafetensorsEntry* last = nullptr;
  for (const SafetensorsEntry& entry : in_data_order) {
    if (entry.tensor.bytes.empty()) continue;
    if (last != nullptr && entry.tensor.bytes.data() < last->tensor.bytes.data() + last->tensor.bytes.size())
      throw_error(ErrorKind::kBadModel, "{}: tensors {} and {} overlap", entry.tensor.file,
                  printable(last->tensor.name), printable(entry.tensor.name));
    last = &entry;
  }
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const uint8_t> file, const std::string& path) {
  if (file.size() < 8)
    throw_error(ErrorKind::kBadModel, "{}: {} bytes, a safetensors file starts with an 8-byte header length",
                path, file.size());
  uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | file[static_cast<size_t>(i)];
  if (header_bytes > file.size() - 8)
    throw_error(
        ErrorKind::kBadModel,
        "{}: the header should have {} bytes, but only {} follow; not a safetensors file, or cut short", path,
        header_bytes, file.size() - 8);
  if (header_bytes > kMaxHeaderBytes)
    throw_error(ErrorKind::kBadModel, "{}: the header has {} bytes, the limit is {}", path, header_bytes,
                kMaxHeaderBytes);
  const auto* text = reinterpret_cast<const char*>(file.data() + 8);
  const FileJson json = parse_json({text, static_cast<size_t>(header_bytes)}, path);
  if (!json.is_object()) throw_error(ErrorKind::kBadModel, "{}: the header is not a JSON object", path);

  SafetensorsHeader header;
  const auto data = file.subspan(8 + static_cast<size_t>(header_bytes));
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__")
      header.metadata = metadata_from(value, path);
    else
      header.entries.push_back(entry_from(name, value, data, path));
  }
  std::stable_sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return a.tensor.bytes.data() < b.tensor.bytes.data();
  });
  check_overlaps(header.entries);
  return header;
}

}  // namespace tessera
