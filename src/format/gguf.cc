#include "format/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "format/blocks.h"
#include "format/json.h"

namespace tessera {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32, kMaxAlignment = uint64_t{1} << 24;
constexpr uint32_t kMaxDims = 4;
// The shortest there are: a key of no bytes with a u8; a name of no bytes with one dimension.
constexpr uint64_t kMinValueBytes = 8 + 4 + 1, kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

struct TypeRow {
  uint32_t number;  // ggml's
  FileType type;
};
constexpr TypeRow kTypes[] = {
    {0, FileType::kF32},   {1, FileType::kF16},   {2, FileType::kQ4_0},    {3, FileType::kQ4_1},
    {6, FileType::kQ5_0},  {7, FileType::kQ5_1},  {8, FileType::kQ8_0},    {12, FileType::kQ4_K},
    {13, FileType::kQ5_K}, {14, FileType::kQ6_K}, {20, FileType::kIQ4_NL}, {24, FileType::kI8},
    {25, FileType::kI16},  {26, FileType::kI32},  {27, FileType::kI64},    {28, FileType::kF64},
    {30, FileType::kBF16},
};
struct NameRow {
  uint32_t number;
  const char* name;
};
constexpr NameRow kOtherTypes[] = {
    {9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},  {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"},  {29, "IQ1_M"},
    {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"}, {40, "NVFP4"},
};

/// Of one element; 0 for strings, whose length varies.
uint64_t element_bytes(GgufType type) {
  constexpr uint64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kBytes[static_cast<size_t>(type)];
}

/// Reads forward; every read says what it is for.
class Cursor {
 public:
  Cursor(std::span<const uint8_t> file, const std::string& path) : file_(file), path_(path) {}

  std::span<const uint8_t> take(uint64_t bytes, const std::string& what) {
    if (bytes > left())
      throw_error(ErrorKind::kBadModel,
                  "{}: {} should have {} bytes at byte {}, but only {} follow; the file is cut short or its "
                  "header is damaged: download it again",
                  path_, what, bytes, at_, left());
    at_ += bytes;
    return file_.subspan(static_cast<size_t>(at_ - bytes), static_cast<size_t>(bytes));
  }
  template <typename T>
  T number(const std::string& what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::string_view string(const std::string& what) {
    const auto length = number<uint64_t>(what);
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// A count of things of at least `min_bytes` each.
  uint64_t count(uint64_t min_bytes, const std::string& what) {
    const auto n = number<uint64_t>(what);
    check_count(n, min_bytes, what);
    return n;
  }
  void check_count(uint64_t n, uint64_t min_bytes, const std::string& what) const {
    if (n > left() / min_bytes)
      throw_error(ErrorKind::kBadModel,
                  "{}: {} is {}, but only {} bytes follow; the file is cut short or its header is damaged: "
                  "download it again",
                  path_, what, n, left());
  }
  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }

 private:
  std::span<const uint8_t> file_;
  const std::string& path_;
  uint64_t at_ = 0;
};

GgufType type_from(uint32_t number, const std::string& path, const std::string& what) {
  if (number > static_cast<uint32_t>(GgufType::kF64))
    throw_error(ErrorKind::kBadModel, "{}: {} has value type {}, expected 0 to 12", path, what, number);
  return static_cast<GgufType>(number);
}

GgufValue value_from(Cursor& cursor, const std::string& path, const std::string& what) {
  GgufValue value;
  value.type = type_from(cursor.number<uint32_t>(what), path, what);
  if (value.type == GgufType::kArray) {
    value.is_array = true;
    value.type = type_from(cursor.number<uint32_t>(what), path, what);
    if (value.type == GgufType::kArray)
      throw_error(ErrorKind::kBadModel, "{}: {} is an array of arrays, which no key of this model is", path,
                  what);
    value.count = cursor.count(std::max<uint64_t>(element_bytes(value.type), 1), "the length of " + what);
  }
  if (value.type != GgufType::kString) {
    value.bytes = cursor.take(value.count * element_bytes(value.type), what);
    return value;
  }
  cursor.check_count(value.count, 8, "the length of " + what);
  Cursor strings = cursor;
  for (uint64_t i = 0; i < value.count; ++i) strings.string(what);
  value.bytes = cursor.take(strings.at() - cursor.at(), what);
  return value;
}

GgufMetadata::Values values_from(Cursor& cursor, uint64_t count, const std::string& path) {
  GgufMetadata::Values values;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view key = cursor.string(fmt::format("metadata key {} of {}", i, count));
    GgufValue value = value_from(cursor, path, fmt::format("metadata {}", printable(key)));
    if (!values.emplace(key, value).second)
      throw_error(ErrorKind::kBadModel, "{}: metadata {} is there twice", path, printable(key));
  }
  return values;
}

/// elements * bytes of the type; checks whole blocks. Throws on overflow.
uint64_t bytes_of(const FileTensor& t) {
  int64_t bytes = 0;
  if (is_block_type(t.type)) {
    if (t.shape.back() % block_values(t.type) != 0)
      throw_error(ErrorKind::kBadModel, "{}: tensor {} is {} of {}, whose rows must be multiples of {}",
                  t.file, printable(t.name), t.shape_text(), to_string(t.type), block_values(t.type));
    bytes = block_bytes(t.type);
  } else {
    bytes = type_bytes(t.type);
  }
  const int64_t unit = is_block_type(t.type) ? block_values(t.type) : 1;
  for (size_t i = 0; i < t.shape.size(); ++i)
    if (__builtin_mul_overflow(bytes, i + 1 == t.shape.size() ? t.shape[i] / unit : t.shape[i], &bytes))
      throw_error(ErrorKind::kBadModel, "{}: tensor {} of shape {} has more than 2^63 bytes", t.file,
                  printable(t.name), t.shape_text());
  return static_cast<uint64_t>(bytes);
}

struct Placed {
  GgufEntry entry;
  uint64_t offset = 0;
};

Placed entry_from(Cursor& cursor, const std::string& which, const std::string& path) {
  Placed placed;
  FileTensor& t = placed.entry.tensor;
  t.file = path;
  t.name = std::string(cursor.string(which));
  const std::string what = fmt::format("tensor {}", printable(t.name));
  const auto dims = cursor.number<uint32_t>(what);
  if (dims < 1 || dims > kMaxDims)
    throw_error(ErrorKind::kBadModel, "{}: {} has {} dimensions, expected 1 to {}", path, what, dims,
                kMaxDims);
  int64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    const auto size = cursor.number<uint64_t>(what);
    if (size < 1 || size > INT64_MAX ||
        __builtin_mul_overflow(elements, static_cast<int64_t>(size), &elements))
      throw_error(
          ErrorKind::kBadModel,
          "{}: {} has size {} in dimension {}, expected at least 1 and at most 2^63 - 1 values together",
          path, what, size, i);
    t.shape.insert(t.shape.begin(), static_cast<int64_t>(size));  // the file has the fastest first
  }
  const auto number = cursor.number<uint32_t>(what);
  const auto* known = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const TypeRow& r) { return r.number == number; });
  placed.entry.known_type = known != std::end(kTypes);
  t.type = placed.entry.known_type ? known->type : FileType::kU8;
  const auto* other = std::find_if(std::begin(kOtherTypes), std::end(kOtherTypes),
                                   [&](const NameRow& r) { return r.number == number; });
  placed.entry.type_name = placed.entry.known_type          ? to_string(t.type)
                           : other != std::end(kOtherTypes) ? other->name
                                                            : fmt::format("type {}", number);
  placed.offset = cursor.number<uint64_t>(what);
  return placed;
}

void place(Placed& placed, std::span<const uint8_t> data, uint64_t alignment) {
  FileTensor& t = placed.entry.tensor;
  const uint64_t bytes = placed.entry.known_type ? bytes_of(t) : 0;
  if (placed.offset % alignment != 0)
    throw_error(ErrorKind::kBadModel,
                "{}: tensor {} starts at byte {} of the data area, expected a multiple of {}", t.file,
                printable(t.name), placed.offset, alignment);
  if (placed.offset > data.size() || bytes > data.size() - placed.offset)
    throw_error(
        ErrorKind::kBadModel,
        "{}: tensor {} of {} {} has {} bytes from byte {} of the data area, which has {}; the file is cut "
        "short or its header is damaged: download it again",
        t.file, printable(t.name), placed.entry.type_name, t.shape_text(), bytes, placed.offset, data.size());
  t.bytes = data.subspan(static_cast<size_t>(placed.offset), static_cast<size_t>(bytes));
}

/// `in_data_order`: by where their data starts.
void check_overlaps(const std::vector<GgufEntry>& in_data_order) {
  const FileTensor* last = nullptr;
  for (const GgufEntry& entry : in_data_order) {
    const FileTensor& t = entry.tensor;
    if (last != nullptr && t.bytes.data() < last->bytes.data() + last->bytes.size())
      throw_error(ErrorKind::kBadModel, "{}: tensors {} and {} overlap", t.file, printable(last->name),
                  printable(t.name));
    if (last == nullptr || !t.bytes.empty()) last = &t;
  }
}

void check_names(std::vector<std::string_view> names, const std::string& path) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw_error(ErrorKind::kBadModel, "{}: tensor {} is there twice", path, printable(*twice));
}

uint32_t version_from(Cursor& cursor, const std::string& path) {
  if (cursor.left() < 24 || cursor.number<uint32_t>("the magic number") != kMagic)
    throw_error(ErrorKind::kBadModel, "{}: does not start with \"GGUF\" and counts: not a GGUF file", path);
  const auto version = cursor.number<uint32_t>("the version");
  if (version != 0 && version % 0x10000 == 0)
    throw_error(ErrorKind::kBadModel, "{}: is a big-endian GGUF file, expected a little-endian one", path);
  if (version != 2 && version != 3)
    throw_error(ErrorKind::kBadModel, "{}: is GGUF version {}, expected 2 or 3; convert the model again",
                path, version);
  return version;
}

}  // namespace

GgufFile parse_gguf(std::span<const uint8_t> file, const std::string& path) {
  Cursor cursor(file, path);
  const uint32_t version = version_from(cursor, path);
  const auto tensors = cursor.number<uint64_t>("the number of tensors");
  const uint64_t values = cursor.count(kMinValueBytes, "the number of metadata values");
  cursor.check_count(tensors, kMinTensorBytes, "the number of tensors");
  GgufFile result{version, {path, values_from(cursor, values, path)}, {}};

  const auto alignment = static_cast<uint64_t>(
      result.metadata.integer_or("general.alignment", kDefaultAlignment, 1, kMaxAlignment));
  if (!std::has_single_bit(alignment)) result.metadata.refuse("general.alignment", "a power of two");
  cursor.check_count(tensors, kMinTensorBytes, "the number of tensors");
  std::vector<Placed> placed;
  for (uint64_t i = 0; i < tensors; ++i)
    placed.push_back(entry_from(cursor, fmt::format("the name of tensor {} of {}", i, tensors), path));

  const uint64_t data_at = (cursor.at() + alignment - 1) / alignment * alignment;
  const auto data = file.subspan(static_cast<size_t>(std::min<uint64_t>(data_at, file.size())));
  std::vector<std::string_view> names;
  for (Placed& p : placed) {
    place(p, data, alignment);
    names.push_back(p.entry.tensor.name);
  }
  check_names(std::move(names), path);
  std::stable_sort(placed.begin(), placed.end(),
                   [](const Placed& a, const Placed& b) { return a.offset < b.offset; });
  for (Placed& p : placed) result.entries.push_back(std::move(p.entry));
  check_overlaps(result.entries);
  return result;
}

bool is_gguf_path(const std::string& path) {
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) return false;
  if (path.ends_with(".gguf")) return true;
  if (!std::filesystem::is_regular_file(path, failed)) return false;
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  return file.read(magic, 4) && std::string_view(magic, 4) == "GGUF";
}

}  // namespace tessera
