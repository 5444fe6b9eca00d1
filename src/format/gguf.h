#pragma once
// The GGUF container, versions 2 and 3 (docs/spec/formats.md §2): typed metadata, tensor headers, aligned
// data. Everything is checked against the file here; nothing of the data is touched, and strings and arrays
// stay views into the file (a vocabulary is 777,050 strings).
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/tensor_file.h"

namespace tessera {

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

/// A metadata value as it lies in the file: `count` elements of `type`, little-endian; a string is a u64
/// length and its bytes.
struct GgufValue {
  GgufType type = GgufType::kU8;  // of the elements; never kArray: arrays of arrays are refused
  bool is_array = false;
  uint64_t count = 1;  // 1 unless is_array
  std::span<const uint8_t> bytes;
};

/// The metadata of one file, read by type. Every error is Error(kBadModel) that names file, key, what was
/// found and what is expected. Views into the file: it must outlive this. Any thread.
class GgufMetadata {
 public:
  using Values = std::map<std::string, GgufValue, std::less<>>;
  GgufMetadata(std::string file, Values values) : file_(std::move(file)), values_(std::move(values)) {}

  bool has(std::string_view key) const { return values_.contains(key); }
  /// Any integer type; throws outside [min, max]; the first throws when absent.
  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  int64_t integer_or(std::string_view key, int64_t absent, int64_t min, int64_t max) const;
  /// f32, f64 or an integer.
  double number_or(std::string_view key, double absent, double min, double max) const;
  bool boolean_or(std::string_view key, bool absent) const;
  std::string text_or(std::string_view key, std::string_view absent) const;
  /// A scalar gives a list of one; booleans count as 0 and 1. Nothing when absent. Throws above `max_count`.
  std::optional<std::vector<int64_t>> integers(std::string_view key, int64_t min, int64_t max,
                                               size_t max_count) const;
  /// As integers(), for numbers of any type.
  std::optional<std::vector<double>> numbers(std::string_view key, size_t max_count) const;
  /// Views into the file. Nothing when absent.
  std::optional<std::vector<std::string_view>> strings(std::string_view key) const;
  /// Elements of the array; 1 for a scalar; 0 when absent.
  uint64_t count(std::string_view key) const;

  /// Throws: "FILE: KEY is VALUE, expected `expected`"; `expected` may go on with what to do.
  [[noreturn]] void refuse(std::string_view key, const std::string& expected) const;
  const std::string& file() const { return file_; }
  const Values& values() const { return values_; }

 private:
  const GgufValue* find(std::string_view key) const;
  std::string found(std::string_view key) const;

  std::string file_;
  Values values_;
};

struct GgufEntry {
  FileTensor tensor;       // name, file, bytes; shape in row-major order; type only when `known_type`
  std::string type_name;   // "Q3_K", "type 77"
  bool known_type = true;  // false: a type this version does not read; its size is then not checked
};

struct GgufFile {
  uint32_t version = 3;
  GgufMetadata metadata;
  std::vector<GgufEntry> entries;  // in the order of their data
};

/// `file`: the whole file; the views of the result point into it. `path` is used in errors and copied into
/// each tensor. Throws Error(kBadModel): another format, version or byte order; counts, lengths and types
/// that the file has no room for; a key or a tensor twice; nested arrays; shapes that overflow; ranges
/// outside the file, unaligned or overlapping. Takes memory in proportion to what the file really holds.
GgufFile parse_gguf(std::span<const uint8_t> file, const std::string& path);

/// "gemma4-assistant"; some converters write an underscore.
bool is_drafter_architecture(std::string_view name);

/// "GGUF" at the start of the file at `path`, or a name that ends in .gguf. False for a directory.
bool is_gguf_path(const std::string& path);

/// What a GGUF tensor is in the published checkpoint (docs/spec/formats.md §2.2, §2.3): its canonical name;
/// tensor.order and tensor.shape are set to what the converter did to it. A name of no known module stays.
std::string adopt_gguf_tensor(FileTensor& tensor);

/// The GGUF name of one of the published checkpoint's tensors.
std::string gguf_name_of(std::string_view canonical);

}  // namespace tessera
