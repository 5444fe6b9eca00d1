// The container: what a header may say, and that nothing it says can hurt.
#include "format/safetensors.h"

#include <gtest/gtest.h>

#include <random>

#include "support/expect_error.h"
#include "support/safetensors_bytes.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

std::span<const uint8_t> view(const std::string& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

SafetensorsHeader parse(const std::string& bytes) {
  return parse_safetensors(view(bytes), "m.safetensors");
}

const std::string kGoodHeader =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},"c":{"dtype":"U8","shape":[],"data_offsets":[16,17]}})";

TEST(safetensors, reads_names_types_shapes_and_bytes) {
  const std::string file = safetensors_bytes(kGoodHeader + "   ", "0123456789abcdefg");
  const SafetensorsHeader header = parse(file);
  ASSERT_EQ(header.entries.size(), 3U);
  EXPECT_EQ(header.metadata.at("format"), "pt");
  const FileTensor& a = header.entries[0].tensor;
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.file, "m.safetensors");
  EXPECT_EQ(a.type, FileType::kBF16);
  EXPECT_EQ(a.shape_text(), "[2, 3]");
  EXPECT_EQ(a.elements(), 6);
  EXPECT_EQ(std::string(a.bytes.begin(), a.bytes.end()), "0123456789ab");
  const FileTensor& c = header.entries[2].tensor;
  EXPECT_EQ(c.elements(), 1);
  EXPECT_EQ(c.shape_text(), "[]");
  EXPECT_EQ(c.bytes[0], 'g');
}

TEST(safetensors, every_type_has_its_name_and_size) {
  const std::pair<const char*, int64_t> types[] = {
      {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I8", 1},   {"U8", 1},      {"I16", 2},    {"I32", 4},
      {"U32", 4}, {"I64", 8}, {"F64", 8},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  for (const auto& [name, bytes] : types) {
    const std::string data(static_cast<size_t>(3 * bytes), 'x');
    const std::string header = R"({"t":{"dtype":")" + std::string(name) +
                               R"(","shape":[3],"data_offsets":[0,)" + std::to_string(data.size()) + "]}}";
    const SafetensorsHeader parsed = parse(safetensors_bytes(header, data));
    EXPECT_TRUE(parsed.entries[0].known_type) << name;
    EXPECT_STREQ(to_string(parsed.entries[0].tensor.type), name);
    EXPECT_EQ(type_bytes(parsed.entries[0].tensor.type), bytes) << name;
  }
}

TEST(safetensors, gaps_trailing_bytes_and_empty_tensors_are_allowed) {
  const SafetensorsHeader header = parse(safetensors_bytes(
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
      R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[6,6]}})",
      "0123456789"));
  ASSERT_EQ(header.entries.size(), 3U);
  EXPECT_EQ(header.entries[0].tensor.name, "a") << "entries are in the order of their data";
}

TEST(safetensors, an_unknown_type_is_recorded_not_refused) {
  const SafetensorsHeader header =
      parse(safetensors_bytes(R"({"a":{"dtype":"F4","shape":[9],"data_offsets":[0,3]}})", "abc"));
  EXPECT_FALSE(header.entries[0].known_type);
  EXPECT_EQ(header.entries[0].type_name, "F4");
}

struct Hostile {
  const char* what;
  std::string bytes;
  std::string message;  // a part of it
};

std::string one(const std::string& entry, size_t data_bytes = 16) {
  return safetensors_bytes(R"({"t":)" + entry + "}", std::string(data_bytes, 'd'));
}

std::vector<Hostile> hostile_files() {
  const std::string deep = safetensors_bytes(std::string(100'000, '['), "");
  const std::string big_name(100'000, 'n');
  return {
      {"empty", "", "0 bytes"},
      {"seven bytes", "1234567", "7 bytes"},
      {"length 2^63", with_length(uint64_t{1} << 63, "{}"), "9223372036854775808"},
      {"length 2^64 - 1", with_length(~uint64_t{0}, "{}"), "18446744073709551615"},
      {"length one too long", with_length(3, "{}"), "only 2 follow"},
      {"empty header", with_length(0, ""), "not valid JSON"},
      {"not JSON", safetensors_bytes("{\"a\":", "x"), "not valid JSON"},
      {"trailing garbage", safetensors_bytes("{} x", ""), "not valid JSON"},
      {"a list", safetensors_bytes("[1]", ""), "not a JSON object"},
      {"null", safetensors_bytes("null", ""), "not a JSON object"},
      {"deep", deep, "nested deeper than 64"},
      {"bad UTF-8", safetensors_bytes("{\"a\xff\":{}}", ""), "not valid JSON"},
      {"number out of range", one(R"({"dtype":"U8","shape":[1e999],"data_offsets":[0,1]})"),
       "not valid JSON"},
      {"NaN size", one(R"({"dtype":"U8","shape":[NaN],"data_offsets":[0,1]})"), "not valid JSON"},
      {"duplicate name",
       safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                         R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                         "xy"),
       "\"a\" occurs twice"},
      {"duplicate key", one(R"({"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]})"),
       "occurs twice"},
      {"entry is a number", one("7"), "not an object"},
      {"no dtype", one(R"({"shape":[1],"data_offsets":[0,1]})"), "no \"dtype\""},
      {"no shape", one(R"({"dtype":"U8","data_offsets":[0,1]})"), "no \"shape\""},
      {"no offsets", one(R"({"dtype":"U8","shape":[1]})"), "no \"data_offsets\""},
      {"dtype is a number", one(R"({"dtype":1,"shape":[1],"data_offsets":[0,1]})"), "not a string"},
      {"shape is a number", one(R"({"dtype":"U8","shape":1,"data_offsets":[0,1]})"), "has shape 1"},
      {"rank 9", one(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]})"), "at most 8"},
      {"negative size", one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,1]})"), "has -1 in its shape"},
      {"two negative sizes", one(R"({"dtype":"U8","shape":[-2,-2],"data_offsets":[0,4]})"),
       "has -2 in its shape"},
      {"fraction", one(R"({"dtype":"U8","shape":[1.5],"data_offsets":[0,1]})"), "has 1.5 in its shape"},
      {"float", one(R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})"), "has 4.0 in its shape"},
      {"null size", one(R"({"dtype":"U8","shape":[null],"data_offsets":[0,1]})"), "has null in its shape"},
      {"size 2^63", one(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]})"),
       "in its shape"},
      {"product wraps to 0", one(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})"),
       "more than 2^63 bytes"},
      {"type size wraps to 0", one(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})"),
       "more than 2^63 bytes"},
      {"one offset", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0]})"), "not [begin, end]"},
      {"offsets reversed", one(R"({"dtype":"U8","shape":[1],"data_offsets":[2,1]})"), "bytes 2 to 1"},
      {"negative offset", one(R"({"dtype":"U8","shape":[1],"data_offsets":[-1,0]})"),
       "has -1 in its data_offsets"},
      {"end past the data", one(R"({"dtype":"U8","shape":[17],"data_offsets":[0,17]})"), "which has 16"},
      {"end 2^63 - 1", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,9223372036854775807]})"),
       "which has 16"},
      {"too small", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "expected 8 for F32 [2]"},
      {"too large", one(R"({"dtype":"BF16","shape":[2],"data_offsets":[0,8]})"), "expected 4 for BF16 [2]"},
      {"overlap",
       safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
                         "01234567"),
       "a and b overlap"},
      {"contained",
       safetensors_bytes(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                         R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                         "01234567"),
       "a and b overlap"},
      {"same bytes twice",
       safetensors_bytes(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                         R"("b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
                         "01234567"),
       "overlap"},
      {"metadata is a list", safetensors_bytes(R"({"__metadata__":[]})", ""),
       "__metadata__ is not an object"},
      {"metadata number", safetensors_bytes(R"({"__metadata__":{"n":1}})", ""), "not a string"},
      {"long name is cut", safetensors_bytes("{\"" + big_name + "\":1}", ""), "nnn..."},
      {"control characters are hidden", safetensors_bytes("{\"a\\u001b[31m\":1}", ""), "a?[31m"},
  };
}

TEST(safetensors, hostile_headers_are_refused_with_a_reason) {
  for (const Hostile& hostile : hostile_files()) {
    SCOPED_TRACE(hostile.what);
    expect_error(ErrorKind::kBadModel, {"m.safetensors", hostile.message}, [&] { parse(hostile.bytes); });
  }
}

TEST(safetensors, messages_stay_short) {
  for (const Hostile& hostile : hostile_files()) {
    try {
      parse(hostile.bytes);
      ADD_FAILURE() << hostile.what;
    } catch (const Error& e) {
      EXPECT_LT(std::string(e.what()).size(), 700U) << hostile.what;
    }
  }
}

TEST(safetensors, a_header_over_the_limit_is_refused_before_it_is_parsed) {
  std::string file(8 + kMaxHeaderBytes + 1, ' ');
  const uint64_t length = kMaxHeaderBytes + 1;
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(length >> (8 * i));
  expect_error(ErrorKind::kBadModel, {"134217729", "the limit is 134217728"}, [&] { parse(file); });
}

TEST(safetensors, cut_at_every_length_is_an_error) {
  const std::string whole = safetensors_bytes(kGoodHeader, "0123456789abcdefg");
  ASSERT_EQ(parse(whole).entries.size(), 3U);
  for (size_t n = 0; n < whole.size(); ++n) {
    SCOPED_TRACE("cut to " + std::to_string(n) + " bytes");
    expect_error(ErrorKind::kBadModel, {"m.safetensors"}, [&] { parse(whole.substr(0, n)); });
  }
}

/// Whatever a damaged header still says, views stay inside the file and sizes match shapes.
void check_invariants(const std::string& file) {
  try {
    const SafetensorsHeader header = parse(file);
    const auto all = view(file);
    for (const SafetensorsEntry& entry : header.entries) {
      const FileTensor& t = entry.tensor;
      ASSERT_GE(t.bytes.data(), all.data());
      ASSERT_LE(t.bytes.data() + t.bytes.size(), all.data() + all.size());
      const int64_t bytes = t.elements() * type_bytes(t.type);
      ASSERT_TRUE(!entry.known_type || bytes == static_cast<int64_t>(t.bytes.size())) << t.name;
    }
  } catch (const Error& e) {
    ASSERT_EQ(e.kind(), ErrorKind::kBadModel) << e.what();
  }
}

TEST(safetensors, flipped_bits_and_bytes_never_break_the_invariants) {
  const std::string whole = safetensors_bytes(kGoodHeader, "0123456789abcdefg");
  for (size_t i = 0; i < whole.size() - 17; ++i)  // every single bit of length and header
    for (int bit = 0; bit < 8; ++bit) {
      std::string file = whole;
      file[i] = static_cast<char>(file[i] ^ (1 << bit));
      SCOPED_TRACE("byte " + std::to_string(i) + ", bit " + std::to_string(bit));
      check_invariants(file);
    }
  const std::string alphabet = "0123456789{}[]\",:-.eE \\utruefalsn\xff";
  for (uint32_t seed = 1; seed <= 20'000; ++seed) {
    std::mt19937 random(seed);
    std::string file = whole;
    const uint32_t changes = 1 + random() % 4;
    for (uint32_t i = 0; i < changes; ++i) {
      const size_t at = 8 + random() % kGoodHeader.size();
      switch (random() % 3) {
        case 0:
          file[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          file.erase(at, 1 + random() % 3);
          break;
        default:
          file.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    if (random() % 2 == 0) {  // a true length again, so that the JSON itself is what is wrong
      const std::string header = file.substr(8, file.size() - 8 - 17);
      file = safetensors_bytes(header, file.substr(file.size() - 17));
    }
    SCOPED_TRACE("seed " + std::to_string(seed));
    check_invariants(file);
  }
}

TEST(safetensors, the_small_checkpoint_has_its_179_tensors) {
  const std::string file = read_bytes(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/model.safetensors");
  const SafetensorsHeader header = parse(file);
  EXPECT_EQ(header.entries.size(), 179U);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

}  // namespace
}  // namespace tessera
