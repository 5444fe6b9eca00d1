#include "format/gguf_writer.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/error.h"
#include "format/blocks.h"

namespace tessera {
namespace {

constexpr uint32_t kMagic = 0x46554747, kVersion = 3;
constexpr uint32_t kBool = 7, kString = 8, kArray = 9;

template <typename T>
constexpr uint32_t type_of() {
  if constexpr (std::is_same_v<T, float>) return 6;
  if constexpr (std::is_same_v<T, double>) return 12;
  if constexpr (std::is_same_v<T, uint64_t>) return 10;
  if constexpr (std::is_same_v<T, int64_t>) return 11;
  constexpr uint32_t kOfSize[] = {0, 0, 2, 0, 4};
  return kOfSize[sizeof(T)] + (std::is_signed_v<T> ? 1 : 0);
}

struct GgmlType {
  FileType type;
  uint32_t number;
};
constexpr GgmlType kGgmlTypes[] = {{FileType::kF32, 0},   {FileType::kF16, 1},     {FileType::kQ4_0, 2},
                                   {FileType::kQ4_1, 3},  {FileType::kQ5_0, 6},    {FileType::kQ5_1, 7},
                                   {FileType::kQ8_0, 8},  {FileType::kQ4_K, 12},   {FileType::kQ5_K, 13},
                                   {FileType::kQ6_K, 14}, {FileType::kIQ4_NL, 20}, {FileType::kBF16, 30}};

uint32_t ggml_type(FileType type) {
  const auto* it = std::find_if(std::begin(kGgmlTypes), std::end(kGgmlTypes),
                                [&](const GgmlType& t) { return t.type == type; });
  TS_CHECK(it != std::end(kGgmlTypes), "GGUF has no type {}", to_string(type));
  return it->number;
}

/// Little-endian, as this processor.
template <typename T>
void append(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out.append(text);
}

int64_t aligned(int64_t at) {
  return (at + GgufWriter::kAlignment - 1) / GgufWriter::kAlignment * GgufWriter::kAlignment;
}

}  // namespace

void GgufHeader::begin(std::string_view key, uint32_t type) {
  TS_CHECK(keys_.emplace(key).second, "GGUF key {} twice", key);
  append_text(bytes_, key);
  append(bytes_, type);
}

void GgufHeader::begin_array(std::string_view key, uint32_t type, size_t count) {
  begin(key, kArray);
  append(bytes_, type);
  append<uint64_t>(bytes_, count);
}

template <typename T>
void GgufHeader::number(std::string_view key, T value) {
  begin(key, type_of<T>());
  append(bytes_, value);
}

template <typename T>
void GgufHeader::numbers(std::string_view key, std::span<const T> values) {
  begin_array(key, type_of<T>(), values.size());
  for (const T value : values) append(bytes_, value);
}

#define TS_INSTANTIATE(T)                                \
  template void GgufHeader::number(std::string_view, T); \
  template void GgufHeader::numbers(std::string_view, std::span<const T>);
TS_INSTANTIATE(uint8_t)
TS_INSTANTIATE(int8_t)
TS_INSTANTIATE(uint16_t)
TS_INSTANTIATE(int16_t)
TS_INSTANTIATE(uint32_t)
TS_INSTANTIATE(int32_t)
TS_INSTANTIATE(uint64_t)
TS_INSTANTIATE(int64_t)
TS_INSTANTIATE(float)
TS_INSTANTIATE(double)
#undef TS_INSTANTIATE

void GgufHeader::boolean(std::string_view key, bool value) {
  begin(key, kBool);
  append<uint8_t>(bytes_, value ? 1 : 0);
}

void GgufHeader::booleans(std::string_view key, const std::vector<bool>& values) {
  begin_array(key, kBool, values.size());
  for (const bool value : values) append<uint8_t>(bytes_, value ? 1 : 0);
}

void GgufHeader::text(std::string_view key, std::string_view value) {
  begin(key, kString);
  append_text(bytes_, value);
}

void GgufHeader::texts(std::string_view key, std::span<const std::string_view> values) {
  begin_array(key, kString, values.size());
  for (const std::string_view value : values) append_text(bytes_, value);
}

void GgufHeader::copy(std::string_view key, uint32_t type, bool is_array, uint64_t count,
                      std::span<const uint8_t> bytes) {
  if (is_array)
    begin_array(key, type, count);
  else
    begin(key, type);
  bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

int64_t GgufWriter::bytes_of(const Entry& entry) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < entry.shape.size(); ++i) rows *= entry.shape[i];
  const int64_t cols = entry.shape.empty() ? 1 : entry.shape.back();
  return rows * (is_block_type(entry.type) ? row_bytes(entry.type, cols) : cols * type_bytes(entry.type));
}

GgufWriter::GgufWriter(const std::string& path, const GgufHeader& header, const std::vector<Entry>& entries)
    : file_(path) {
  std::string head;
  append(head, kMagic);
  append(head, kVersion);
  append<uint64_t>(head, entries.size());
  append<uint64_t>(head, header.count());
  head += header.bytes();
  std::set<std::string_view> names;
  int64_t offset = 0;
  for (const Entry& entry : entries) {
    TS_CHECK(entry.name.size() < 64 && names.insert(entry.name).second, "GGUF tensor name {}", entry.name);
    TS_CHECK(!entry.shape.empty() && entry.shape.size() <= 4, "{}: {} dimensions", entry.name,
             entry.shape.size());
    append_text(head, entry.name);
    append(head, static_cast<uint32_t>(entry.shape.size()));
    for (auto size = entry.shape.rbegin(); size != entry.shape.rend(); ++size)
      append(head, static_cast<uint64_t>(*size));
    append(head, ggml_type(entry.type));
    append(head, static_cast<uint64_t>(offset));
    sizes_.push_back(bytes_of(entry));
    offset = aligned(offset + sizes_.back());
  }
  head.resize(static_cast<size_t>(aligned(static_cast<int64_t>(head.size()))));
  file_bytes_ = static_cast<int64_t>(head.size()) + offset;

  file_.write(head.data(), head.size());
}

void GgufWriter::pad() {
  constexpr char kZeros[kAlignment] = {};
  const int64_t size = sizes_[current_];
  file_.write(kZeros, static_cast<size_t>(aligned(size) - size));
  ++current_;
  written_ = 0;
}

void GgufWriter::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    TS_CHECK(current_ < sizes_.size(), "{}: more data than declared", file_.path());
    const auto part =
        static_cast<size_t>(std::min(static_cast<int64_t>(bytes.size()), sizes_[current_] - written_));
    file_.write(bytes.data(), part);
    written_ += static_cast<int64_t>(part);
    bytes = bytes.subspan(part);
    if (written_ == sizes_[current_]) pad();
  }
}

void GgufWriter::finish() {
  while (current_ < sizes_.size() && sizes_[current_] == written_) pad();  // empty tensors at the end
  TS_CHECK(current_ == sizes_.size(), "{}: {} of {} tensors written", file_.path(), current_, sizes_.size());
  file_.finish();
}

}  // namespace tessera
