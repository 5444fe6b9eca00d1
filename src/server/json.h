#pragma once
// JSON of requests: bounded before it is built, and read with the place in every error.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::server {

/// Objects keep the order of their keys: tools are shown to the model as they were written.
using Json = nlohmann::ordered_json;

/// Throws ApiError(400) for what is not JSON, is nested deeper than 64 levels, or has an object of more than
/// 2,048 keys or more than a million values.
Json parse_json(std::string_view text);

/// Invalid UTF-8, which a model can write, becomes U+FFFD.
std::string dump(const Json& value);

/// An object of a request. Fields that are null count as absent. Everything throws ApiError(400) naming the
/// place.
class Fields {
 public:
  Fields(const Json& object, std::string place);

  const Json* find(std::string_view key) const;
  const Json& need(std::string_view key) const;
  std::string place(std::string_view key) const;

  std::string string(std::string_view key, std::string absent = {}) const;
  std::string need_string(std::string_view key) const;
  bool flag(std::string_view key, bool absent = false) const;
  std::optional<double> number(std::string_view key, double least, double most) const;
  std::optional<int64_t> integer(std::string_view key, int64_t least, int64_t most) const;
  /// A string, or a list of strings.
  std::vector<std::string> strings(std::string_view key, size_t most) const;
  /// Null when absent.
  const Json* list(std::string_view key) const;
  const Json* object(std::string_view key) const;

  const Json& json() const { return object_; }
  const std::string& here() const { return place_; }

 private:
  const Json& object_;
  std::string place_;
};

[[noreturn]] void bad_field(const std::string& place, const Json* found, std::string_view expected);

}  // namespace tessera::server
