#pragma once
// Typed, bounded reads of one JSON object of a model file. Every error names file, key, what was found and
// expected. A key whose value is null counts as absent.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/json.h"

namespace tessera {

class JsonFields {
 public:
  /// `file`: path, `path`: the object's place in it ("text_config."; "" at the top). The object must outlive
  /// this. Throws Error(kBadModel) when `object` is not a JSON object.
  JsonFields(const FileJson& object, std::string file, std::string path);

  bool has(const char* key) const;  // present and not null
  /// All throw Error(kBadModel) for another type or a value outside [min, max].
  int64_t integer(const char* key, int64_t min, int64_t max) const;  // throws when absent
  int64_t integer_or(const char* key, int64_t absent, int64_t min, int64_t max) const;
  double number_or(const char* key, double absent, double min, double max) const;
  bool boolean_or(const char* key, bool absent) const;
  std::string text_or(const char* key, const std::string& absent) const;
  /// An integer or a list of at most 1,024 of them; nothing when absent, an empty list when that is what
  /// stands there.
  std::optional<std::vector<int32_t>> integers(const char* key, int64_t min, int64_t max) const;
  std::optional<JsonFields> object(const char* key) const;

  /// Throws Error(kBadModel): "FILE: KEY is VALUE, expected `expected`".
  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const;

  const FileJson& json() const { return *json_; }
  const std::string& file() const { return file_; }

 private:
  const FileJson* json_;
  std::string file_, path_;
};

}  // namespace tessera
