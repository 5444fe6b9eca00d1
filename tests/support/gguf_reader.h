#pragma once
// Reads GGUF files for tests. Deliberately not src/format: a fault there must not hide here.
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

struct GgufTestValue {
  uint32_t type = 0, element = 0;  // element: of an array
  std::vector<std::string> items;  // raw bytes of the value, or of each element
  template <typename T>
  T as(size_t i = 0) const {
    if (items.at(i).size() != sizeof(T)) throw std::runtime_error("another type of value");
    T value;
    std::memcpy(&value, items[i].data(), sizeof value);
    return value;
  }
};

struct GgufTestTensor {
  std::vector<uint64_t> ne;
  uint32_t type = 0;
  uint64_t offset = 0;  // in the data
  std::string bytes;    // up to the next tensor's offset, padding included
};

struct GgufTestFile {
  std::vector<std::string> keys, names;  // in the file's order
  std::map<std::string, GgufTestValue> values;
  std::map<std::string, GgufTestTensor> tensors;
  uint64_t data_begin = 0;
};

class GgufTestReader {
 public:
  explicit GgufTestReader(const std::string& bytes) : bytes_(bytes) {}

  GgufTestFile read() {
    GgufTestFile file;
    if (raw(4) != "GGUF" || get<uint32_t>() != 3) throw std::runtime_error("not a GGUF file, version 3");
    const auto tensors = get<uint64_t>(), keys = get<uint64_t>();
    for (uint64_t i = 0; i < keys; ++i) {
      file.keys.push_back(text());
      file.values[file.keys.back()] = value();
    }
    for (uint64_t i = 0; i < tensors; ++i) {
      file.names.push_back(text());
      GgufTestTensor& tensor = file.tensors[file.names.back()];
      for (auto rank = get<uint32_t>(); rank > 0; --rank) tensor.ne.push_back(get<uint64_t>());
      tensor.type = get<uint32_t>();
      tensor.offset = get<uint64_t>();
    }
    file.data_begin = (at_ + 31) / 32 * 32;
    for (uint64_t i = 0; i < tensors; ++i) {
      GgufTestTensor& tensor = file.tensors[file.names[i]];
      const uint64_t end =
          i + 1 < tensors ? file.tensors[file.names[i + 1]].offset : bytes_.size() - file.data_begin;
      if (tensor.offset % 32 != 0 || tensor.offset > end)
        throw std::runtime_error("offset of " + file.names[i]);
      tensor.bytes = bytes_.substr(file.data_begin + tensor.offset, end - tensor.offset);
    }
    return file;
  }

 private:
  std::string raw(uint64_t count) {
    if (count > bytes_.size() - at_) throw std::runtime_error("the file ends early");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  template <typename T>
  T get() {
    T value;
    std::memcpy(&value, raw(sizeof(T)).data(), sizeof value);
    return value;
  }
  std::string text() { return raw(get<uint64_t>()); }
  std::string scalar(uint32_t type) {
    constexpr uint64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) return text();
    return raw(kBytes[type]);
  }
  GgufTestValue value() {
    GgufTestValue v;
    v.type = v.element = get<uint32_t>();
    uint64_t count = 1;
    if (v.type == 9) {
      v.element = get<uint32_t>();
      count = get<uint64_t>();
    }
    for (uint64_t i = 0; i < count; ++i) v.items.push_back(scalar(v.element));
    return v;
  }

  const std::string& bytes_;
  uint64_t at_ = 0;
};

}  // namespace tessera
