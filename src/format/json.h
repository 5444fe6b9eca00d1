#pragma once
// JSON of model files: strict (no comments, no duplicate names), bounded in depth and in number of values.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tessera {

using FileJson = nlohmann::json;

/// Parses the whole of `text`. `where` (a path) is used in errors only.
/// Throws Error(kBadModel): not JSON, a name twice in one object, deeper than 64, more than 8 million values.
FileJson parse_json(std::string_view text, const std::string& where);

/// Reads and parses a file of at most `max_bytes`. Throws Error(kIo | kTooLarge | kBadModel).
FileJson read_json_file(const std::string& path, int64_t max_bytes);

/// File-derived text for an error message: control and non-ASCII bytes become '?', cut after 160 bytes.
std::string printable(std::string_view text);

}  // namespace tessera
