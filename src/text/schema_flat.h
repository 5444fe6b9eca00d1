#pragma once
// A JSON schema without its detours: $ref, allOf, anyOf and oneOf resolved into alternatives of plain
// keywords.
#include <string>
#include <string_view>
#include <vector>

#include "text/json_tree.h"

namespace tessera {

/// Reads the schemas of one document. Throws Error(kBadRequest) with the path and the keyword for what is not
/// supported or malformed, kTooLarge when alternatives multiply beyond the limits.
class SchemaFlattener {
 public:
  /// `root` must outlive it; `name` starts every message.
  SchemaFlattener(const Json& root, std::string name) : root_(root), name_(std::move(name)) {}

  /// Alternatives; a value is valid when it is of one of them (oneOf is read as anyOf). Each is an object
  /// with, of these, what was stated: type (list; "number" covers "integer"), enum (list), properties,
  /// required, additionalProperties, items, prefixItems (list), minItems, maxItems, minLength, maxLength,
  /// minProperties, maxProperties (0 … 1e9), pattern (list: all of them), format, minimum, maximum,
  /// exclusiveMinimum, exclusiveMaximum. None: nothing is valid. Annotations and unknown keywords are
  /// dropped.
  std::vector<Json> alternatives(const Json& schema, const std::string& path);

  [[noreturn]] void fail(const std::string& path, std::string_view keyword, std::string_view what) const;
  /// Counts work; Error(kTooLarge) when there is too much of it.
  void spend(int64_t units);

 private:
  Json plain(const Json& schema, const std::string& path);
  const Json& target(const std::string& ref, const std::string& path) const;
  bool merge(Json& to, const Json& from, const std::string& path) const;
  std::vector<Json> combine(const std::vector<Json>& a, const std::vector<Json>& b, const std::string& path);

  const Json& root_;
  std::string name_;
  std::vector<const Json*> open_refs_;
  int64_t spent_ = 0;
};

}  // namespace tessera
