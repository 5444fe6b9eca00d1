#pragma once
// JSON text → tree, with what untrusted input needs: bounded depth and object size, errors with a position.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tessera.h"

namespace tessera {

/// Objects keep the order of their keys: the chat format sorts without regard to case, and keys that differ
/// only in case stay in the order they came in.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  size_t max_depth = 96;
  size_t max_keys = 4096;  // of one object; looking a key up is linear, so many keys would be quadratic
};

/// Builds a tree from SAX events. An integer outside 64 bits is kept as its digits (see big_integer). Of
/// equal keys the last counts. Throws Error(kind) naming `name` when a limit is passed or the text is not
/// JSON.
class JsonTreeBuilder : public nlohmann::json_sax<Json> {
 public:
  /// `text` is only looked at to turn byte positions into lines.
  JsonTreeBuilder(std::string_view text, ErrorKind error_kind, std::string name,
                  const JsonLimits& limits = {});

  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(number_integer_t value) override;
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t value, const std::string& digits) override;
  bool string(std::string& value) override;
  bool binary(Json::binary_t& value) override;
  bool start_object(size_t elements) override;
  bool key(std::string& value) override;
  bool end_object() override;
  bool start_array(size_t elements) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) override;

  size_t depth() const { return open_.size(); }
  Json& tree() { return tree_; }

 private:
  Json* place(Json&& value);
  void open(Json&& container);

  std::string_view text_;
  ErrorKind error_kind_;
  std::string name_;
  JsonLimits limits_;
  Json tree_;
  std::vector<Json*>
      open_;              // containers not yet closed; a parent is never appended to while its child is open
  Json* slot_ = nullptr;  // value of the key just read
};

/// The whole of `text` as one JSON value. Throws Error(kind), the message starting with `name`.
Json parse_json(std::string_view text, ErrorKind kind, const std::string& name,
                const JsonLimits& limits = {});

/// The digits of an integer that does not fit 64 bits; null for every other value.
const std::vector<uint8_t>* big_integer(const Json& value);

/// "an object", "a string" …, for messages.
std::string_view json_type(const Json& value);

}  // namespace tessera
