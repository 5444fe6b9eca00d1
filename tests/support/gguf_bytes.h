#pragma once
// GGUF files as byte strings, right and wrong ones (docs/spec/formats.md §2). Deliberately not src/format: a
// fault there must not hide in the tests.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace tessera::test {

class GgufBytes {
 public:
  enum Type : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

  struct Tensor {
    std::string name;
    std::vector<uint64_t> ne;  // fastest first
    uint32_t type = 0;         // ggml's number
    std::string data;
  };

  uint32_t magic = 0x46554747, version = 3;
  uint64_t alignment = 32;
  int64_t add_to_tensor_count = 0, add_to_value_count = 0;  // what the header lies
  std::vector<std::pair<std::string, std::string>> values;  // key, type and value as bytes
  std::vector<Tensor> tensors;

  template <typename T>
  static std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string string(const std::string& text) { return raw<uint64_t>(text.size()) + text; }

  /// Replaces the value of a key that is there.
  void set(const std::string& key, Type type, const std::string& value_bytes) {
    const std::string bytes = raw<uint32_t>(type) + value_bytes;
    for (auto& [k, v] : values)
      if (k == key) {
        v = bytes;
        return;
      }
    values.emplace_back(key, bytes);
  }
  void text(const std::string& key, const std::string& value) { set(key, kString, string(value)); }
  void u32(const std::string& key, uint32_t value) { set(key, kU32, raw(value)); }
  void f32(const std::string& key, float value) { set(key, kF32, raw(value)); }
  void boolean(const std::string& key, bool value) { set(key, kBool, raw<uint8_t>(value ? 1 : 0)); }
  template <typename T>
  void array(const std::string& key, Type element, const std::vector<T>& list) {
    std::string bytes = raw<uint32_t>(element) + raw<uint64_t>(list.size());
    for (const auto& value : list) bytes += raw<T>(value);
    set(key, kArray, bytes);
  }
  void strings(const std::string& key, const std::vector<std::string>& list) {
    std::string bytes = raw<uint32_t>(kString) + raw<uint64_t>(list.size());
    for (const auto& text : list) bytes += string(text);
    set(key, kArray, bytes);
  }
  void remove(const std::string& key) {
    std::erase_if(values, [&](const auto& value) { return value.first == key; });
  }

  void tensor(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type,
              const std::string& data) {
    tensors.push_back({name, ne, type, data});
  }
  void f32_tensor(const std::string& name, const std::vector<uint64_t>& ne, const std::vector<float>& data) {
    tensor(name, ne, 0, std::string(reinterpret_cast<const char*>(data.data()), data.size() * 4));
  }
  Tensor& at(const std::string& name) {
    for (Tensor& t : tensors)
      if (t.name == name) return t;
    throw std::runtime_error("no tensor " + name);
  }

  std::string bytes() const {
    std::string out = raw(magic) + raw(version) +
                      raw<uint64_t>(tensors.size() + static_cast<uint64_t>(add_to_tensor_count)) +
                      raw<uint64_t>(values.size() + static_cast<uint64_t>(add_to_value_count));
    for (const auto& [key, value] : values) out += string(key) + value;
    uint64_t offset = 0;
    for (const Tensor& t : tensors) {
      out += string(t.name) + raw<uint32_t>(static_cast<uint32_t>(t.ne.size()));
      for (const uint64_t size : t.ne) out += raw(size);
      out += raw(t.type) + raw(offset);
      offset += padded(t.data.size());
    }
    out.resize(padded(out.size()));
    for (const Tensor& t : tensors) {
      out += t.data;
      out.resize(out.size() + padded(t.data.size()) - t.data.size());
    }
    return out;
  }

 private:
  uint64_t padded(uint64_t n) const { return (n + alignment - 1) / alignment * alignment; }
};

}  // namespace tessera::test
