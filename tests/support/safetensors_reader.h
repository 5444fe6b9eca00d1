#pragma once
// Reads golden.safetensors for tests. Deliberately not src/format: a fault there must not hide in the
// goldens.
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

struct GoldenTensor {
  std::string dtype;  // as in the file: "F32", "I32", "U8", …
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;

  /// The values; each throws std::runtime_error when the tensor has another dtype.
  std::vector<float> f32() const { return as<float>("F32"); }
  std::vector<int32_t> i32() const { return as<int32_t>("I32"); }
  std::vector<uint8_t> u8() const { return as<uint8_t>("U8"); }

 private:
  template <typename T>
  std::vector<T> as(const char* wanted) const {
    if (dtype != wanted)
      throw std::runtime_error("golden tensor is " + dtype + ", the test asks for " + wanted);
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }
};

/// All tensors of a safetensors file, by name. Throws std::runtime_error: missing file, lengths that do not
/// fit.
inline std::map<std::string, GoldenTensor> read_golden(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open the golden file " + path);
  const std::vector<char> all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint64_t header_bytes = 0;
  if (all.size() < 8) throw std::runtime_error(path + ": shorter than a safetensors header");
  std::memcpy(&header_bytes, all.data(), 8);
  if (header_bytes > all.size() - 8) throw std::runtime_error(path + ": header longer than the file");
  const char* data = all.data() + 8 + header_bytes;
  const uint64_t data_bytes = all.size() - 8 - header_bytes;
  std::map<std::string, GoldenTensor> tensors;
  const nlohmann::json header = nlohmann::json::parse(all.data() + 8, data);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto begin = entry.at("data_offsets").at(0).get<uint64_t>();
    const auto end = entry.at("data_offsets").at(1).get<uint64_t>();
    if (begin > end || end > data_bytes)
      throw std::runtime_error(path + ": " + name + " is outside the file");
    tensors[name] = {entry.at("dtype"), entry.at("shape"), {data + begin, data + end}};
  }
  return tensors;
}

}  // namespace tessera
