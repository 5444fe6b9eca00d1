// Typed reads of GGUF's metadata.
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "format/gguf.h"
#include "format/json.h"

namespace tessera {
namespace {

const char* name_of(GgufType type) {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                    "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// Element `i` as an integer; nothing for other types and for what an int64 cannot hold.
std::optional<int64_t> integer_at(const GgufValue& value, size_t i) {
  const uint8_t* p = value.bytes.data();
  switch (value.type) {
    case GgufType::kU8:
      return p[i];
    case GgufType::kI8:
      return static_cast<int8_t>(p[i]);
    case GgufType::kU16:
      return load<uint16_t>(p + 2 * i);
    case GgufType::kI16:
      return load<int16_t>(p + 2 * i);
    case GgufType::kU32:
      return load<uint32_t>(p + 4 * i);
    case GgufType::kI32:
      return load<int32_t>(p + 4 * i);
    case GgufType::kI64:
      return load<int64_t>(p + 8 * i);
    case GgufType::kU64: {
      const auto v = load<uint64_t>(p + 8 * i);
      if (v > INT64_MAX) return std::nullopt;
      return static_cast<int64_t>(v);
    }
    case GgufType::kBool:
      if (p[i] > 1) return std::nullopt;
      return p[i];
    default:
      return std::nullopt;
  }
}

std::optional<double> number_at(const GgufValue& value, size_t i) {
  if (value.type == GgufType::kF32) return load<float>(value.bytes.data() + 4 * i);
  if (value.type == GgufType::kF64) return load<double>(value.bytes.data() + 8 * i);
  if (value.type == GgufType::kBool) return std::nullopt;
  if (const auto integer = integer_at(value, i)) return static_cast<double>(*integer);
  return std::nullopt;
}

/// The string at `p`, whose length was checked when the file was read.
std::string_view string_at(const uint8_t* p) {
  return {reinterpret_cast<const char*>(p + 8), static_cast<size_t>(load<uint64_t>(p))};
}

}  // namespace

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

std::string GgufMetadata::found(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return "missing";
  if (value->is_array) return fmt::format("an array of {} {}", value->count, name_of(value->type));
  if (value->type == GgufType::kString)
    return fmt::format("\"{}\"", printable(string_at(value->bytes.data())));
  if (value->type == GgufType::kBool && value->bytes[0] <= 1) return value->bytes[0] != 0 ? "true" : "false";
  if (const auto integer = integer_at(*value, 0)) return fmt::format("{}", *integer);
  if (const auto number = number_at(*value, 0)) return fmt::format("{:g}", *number);
  return fmt::format("a {} out of range", name_of(value->type));
}

void GgufMetadata::refuse(std::string_view key, const std::string& expected) const {
  throw_error(ErrorKind::kBadModel, "{}: {} is {}, expected {}", file_, printable(key), found(key), expected);
}

int64_t GgufMetadata::integer(std::string_view key, int64_t min, int64_t max) const {
  const GgufValue* value = find(key);
  const auto number = value == nullptr || value->is_array || value->type == GgufType::kBool
                          ? std::nullopt
                          : integer_at(*value, 0);
  if (!number || *number < min || *number > max)
    refuse(key, fmt::format("an integer from {} to {}", min, max));
  return *number;
}

int64_t GgufMetadata::integer_or(std::string_view key, int64_t absent, int64_t min, int64_t max) const {
  return has(key) ? integer(key, min, max) : absent;
}

double GgufMetadata::number_or(std::string_view key, double absent, double min, double max) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return absent;
  const auto number = value->is_array ? std::nullopt : number_at(*value, 0);
  if (!number || !(*number >= min && *number <= max))
    refuse(key, fmt::format("a number from {:g} to {:g}", min, max));
  return *number;
}

bool GgufMetadata::boolean_or(std::string_view key, bool absent) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return absent;
  if (value->is_array || value->type != GgufType::kBool || value->bytes[0] > 1) refuse(key, "true or false");
  return value->bytes[0] != 0;
}

std::string GgufMetadata::text_or(std::string_view key, std::string_view absent) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::string(absent);
  if (value->is_array || value->type != GgufType::kString) refuse(key, "a string");
  return std::string(string_at(value->bytes.data()));
}

std::optional<std::vector<int64_t>> GgufMetadata::integers(std::string_view key, int64_t min, int64_t max,
                                                           size_t max_count) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto expected = [&] {
    return fmt::format("an integer from {} to {}, or an array of at most {} of them", min, max, max_count);
  };
  if (value->count > max_count) refuse(key, expected());
  std::vector<int64_t> list;
  for (size_t i = 0; i < value->count; ++i) {
    const auto number = integer_at(*value, i);
    if (!number && value->type != GgufType::kU64 && value->type != GgufType::kBool) refuse(key, expected());
    if (!number || *number < min || *number > max)
      throw_error(ErrorKind::kBadModel, "{}: {}[{}] is {}, expected {} to {}", file_, printable(key), i,
                  number ? fmt::format("{}", *number) : "out of range", min, max);
    list.push_back(*number);
  }
  return list;
}

std::optional<std::vector<double>> GgufMetadata::numbers(std::string_view key, size_t max_count) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  std::vector<double> list;
  for (size_t i = 0; value->count <= max_count && i < value->count; ++i)
    if (const auto number = number_at(*value, i)) list.push_back(*number);
  if (list.size() != value->count) refuse(key, fmt::format("at most {} numbers", max_count));
  return list;
}

std::optional<std::vector<std::string_view>> GgufMetadata::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || value->type != GgufType::kString) refuse(key, "an array of strings");
  std::vector<std::string_view> list;
  list.reserve(static_cast<size_t>(value->count));
  const uint8_t* p = value->bytes.data();
  for (uint64_t i = 0; i < value->count; ++i) {
    list.push_back(string_at(p));
    p += 8 + list.back().size();
  }
  return list;
}

uint64_t GgufMetadata::count(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? 0 : value->count;
}

}  // namespace tessera
