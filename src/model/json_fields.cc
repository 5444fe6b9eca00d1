#include "model/json_fields.h"

#include <cmath>

#include "base/error.h"

namespace tessera {
namespace {

constexpr size_t kMaxListed = 1024;

/// Whether `value` is an integer in [min, max]. A fraction such as 3840.0 is not an integer of these files.
bool integer_within(const FileJson& value, int64_t min, int64_t max) {
  if (value.is_number_unsigned()) {
    const auto v = value.get<uint64_t>();
    return (min < 0 || v >= static_cast<uint64_t>(min)) && max >= 0 && v <= static_cast<uint64_t>(max);
  }
  return value.is_number_integer() && value.get<int64_t>() >= min && value.get<int64_t>() <= max;
}

}  // namespace

JsonFields::JsonFields(const FileJson& object, std::string file, std::string path)
    : json_(&object), file_(std::move(file)), path_(std::move(path)) {
  if (!object.is_object())
    throw_error(ErrorKind::kBadModel, "{}: {} is not a JSON object", file_,
                path_.empty() ? "the file" : path_.substr(0, path_.size() - 1));
}

bool JsonFields::has(const char* key) const {
  const auto it = json_->find(key);
  return it != json_->end() && !it->is_null();
}

void JsonFields::refuse(const std::string& key, const std::string& expected) const {
  const auto it = json_->find(key);
  const std::string found =
      it == json_->end() ? "missing"
                         : "is " + printable(it->dump(-1, ' ', false, FileJson::error_handler_t::replace));
  throw_error(ErrorKind::kBadModel, "{}: {}{} {}, expected {}", file_, path_, printable(key), found,
              expected);
}

int64_t JsonFields::integer(const char* key, int64_t min, int64_t max) const {
  if (!has(key) || !integer_within((*json_)[key], min, max))
    refuse(key, fmt::format("an integer from {} to {}", min, max));
  return (*json_)[key].get<int64_t>();
}

int64_t JsonFields::integer_or(const char* key, int64_t absent, int64_t min, int64_t max) const {
  return has(key) ? integer(key, min, max) : absent;
}

double JsonFields::number_or(const char* key, double absent, double min, double max) const {
  if (!has(key)) return absent;
  const FileJson& value = (*json_)[key];
  const double v = value.is_number() ? value.get<double>() : std::nan("");
  if (!(v >= min && v <= max)) refuse(key, fmt::format("a number from {} to {}", min, max));
  return v;
}

bool JsonFields::boolean_or(const char* key, bool absent) const {
  if (!has(key)) return absent;
  if (!(*json_)[key].is_boolean()) refuse(key, "true or false");
  return (*json_)[key].get<bool>();
}

std::string JsonFields::text_or(const char* key, const std::string& absent) const {
  if (!has(key)) return absent;
  if (!(*json_)[key].is_string()) refuse(key, "a string");
  return (*json_)[key].get<std::string>();
}

std::optional<std::vector<int32_t>> JsonFields::integers(const char* key, int64_t min, int64_t max) const {
  if (!has(key)) return std::nullopt;
  const FileJson& value = (*json_)[key];
  const std::string expected = fmt::format("an integer or a list of integers from {} to {}", min, max);
  if (integer_within(value, min, max))
    return std::vector<int32_t>{static_cast<int32_t>(value.get<int64_t>())};
  if (!value.is_array() || value.size() > kMaxListed) refuse(key, expected);
  std::vector<int32_t> list;
  for (const FileJson& item : value) {
    if (!integer_within(item, min, max)) refuse(key, expected);
    list.push_back(static_cast<int32_t>(item.get<int64_t>()));
  }
  return list;
}

std::optional<JsonFields> JsonFields::object(const char* key) const {
  if (!has(key)) return std::nullopt;
  return JsonFields((*json_)[key], file_, path_ + key + ".");
}

}  // namespace tessera
