#pragma once
// The safetensors container: u64 little-endian header length, that many bytes of JSON, then the data area.
// Names, types, shapes and ranges are checked here against the file; nothing of the data is touched.
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "format/tensor_file.h"

namespace tessera {

/// Largest header accepted; the reference library stops at 100 MB.
constexpr uint64_t kMaxHeaderBytes = uint64_t{128} << 20;

struct SafetensorsEntry {
  FileTensor tensor;       // name, file, shape and bytes; type only when `known_type`
  std::string type_name;   // as the file spells it
  bool known_type = true;  // false: a type this version does not know; its size is then not checked
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;        // in the order of their data
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

/// `file`: the whole file; the views of the result point into it. `path` is used in errors and copied into
/// each tensor. Throws Error(kBadModel): header length beyond the file or the limit, bad JSON, duplicate
/// names, shapes that are not lists of non-negative integers, sizes that overflow, ranges outside the file,
/// overlapping, or unequal to product(shape) * type size.
SafetensorsHeader parse_safetensors(std::span<const uint8_t> file, const std::string& path);

}  // namespace tessera
