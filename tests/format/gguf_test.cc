// The GGUF container: what it holds, and every way in which a header can lie.
#include "format/gguf.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "support/expect_error.h"
#include "support/gguf_bytes.h"

namespace tessera {
namespace {

using test::GgufBytes;

GgufFile parse(const std::string& bytes) {
  return parse_gguf({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "x.gguf");
}

GgufBytes example() {
  GgufBytes f;
  f.text("general.architecture", "gemma4");
  f.set("u8", GgufBytes::kU8, GgufBytes::raw<uint8_t>(200));
  f.set("i8", GgufBytes::kI8, GgufBytes::raw<int8_t>(-3));
  f.set("u16", GgufBytes::kU16, GgufBytes::raw<uint16_t>(60000));
  f.set("i16", GgufBytes::kI16, GgufBytes::raw<int16_t>(-300));
  f.u32("u32", 4000000000U);
  f.set("i32", GgufBytes::kI32, GgufBytes::raw<int32_t>(-70000));
  f.set("u64", GgufBytes::kU64, GgufBytes::raw<uint64_t>(uint64_t{1} << 40));
  f.set("huge", GgufBytes::kU64, GgufBytes::raw<uint64_t>(UINT64_MAX));
  f.set("i64", GgufBytes::kI64, GgufBytes::raw<int64_t>(-(int64_t{1} << 40)));
  f.f32("f32", 0.5F);
  f.set("f64", GgufBytes::kF64, GgufBytes::raw<double>(1e-6));
  f.boolean("bool", true);
  f.strings("strings", {"a", "", "c d"});
  f.array("ints", GgufBytes::kI32, std::vector<int32_t>{3, -1});
  f.array("bools", GgufBytes::kBool, std::vector<uint8_t>{1, 0});
  f.f32_tensor("vector", {3}, {1, 2, 3});
  f.tensor("blocks", {64, 2}, 8, std::string(4 * 34, 'q'));
  f.tensor("odd", {4, 2}, 77, std::string(10, 'x'));
  return f;
}

TEST(gguf, values_of_every_type) {
  const std::string bytes = example().bytes();
  const GgufFile file = parse(bytes);
  const GgufMetadata& m = file.metadata;
  EXPECT_EQ(file.version, 3U);
  EXPECT_EQ(m.text_or("general.architecture", ""), "gemma4");
  EXPECT_EQ(m.text_or("absent", "x"), "x");
  EXPECT_EQ(m.integer("u8", 0, 255), 200);
  EXPECT_EQ(m.integer("i8", -9, 9), -3);
  EXPECT_EQ(m.integer("u16", 0, 65535), 60000);
  EXPECT_EQ(m.integer("i16", -999, 0), -300);
  EXPECT_EQ(m.integer("u32", 0, INT64_MAX), 4000000000);
  EXPECT_EQ(m.integer("i32", -99999, 0), -70000);
  EXPECT_EQ(m.integer("u64", 0, INT64_MAX), int64_t{1} << 40);
  EXPECT_EQ(m.integer("i64", INT64_MIN, 0), -(int64_t{1} << 40));
  EXPECT_EQ(m.integer_or("absent", 7, 0, 9), 7);
  EXPECT_EQ(m.number_or("f32", 0, 0, 1), 0.5);
  EXPECT_EQ(m.number_or("f64", 0, 0, 1), 1e-6);
  EXPECT_EQ(m.number_or("u8", 0, 0, 300), 200);
  EXPECT_TRUE(m.boolean_or("bool", false));
  EXPECT_EQ(m.strings("strings"), (std::vector<std::string_view>{"a", "", "c d"}));
  EXPECT_EQ(m.strings("absent"), std::nullopt);
  EXPECT_EQ(m.integers("ints", -9, 9, 10), (std::vector<int64_t>{3, -1}));
  EXPECT_EQ(m.integers("bools", 0, 1, 10), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(m.integers("u8", 0, 255, 10), (std::vector<int64_t>{200}));
  EXPECT_EQ(m.numbers("f32", 3), (std::vector<double>{0.5}));
  EXPECT_EQ(m.count("strings"), 3U);
  EXPECT_EQ(m.count("absent"), 0U);
}

TEST(gguf, values_of_another_kind_are_named) {
  const std::string bytes = example().bytes();
  const GgufFile file = parse(bytes);
  const auto refused = [&](const std::vector<std::string>& words, auto read) {
    expect_error(ErrorKind::kBadModel, words, [&] { read(file.metadata); });
  };
  refused({"x.gguf", "absent is missing", "from 1 to 9"}, [](auto& m) { m.integer("absent", 1, 9); });
  refused({"u8 is 200", "from 0 to 9"}, [](auto& m) { m.integer("u8", 0, 9); });
  refused({"huge is a u64 out of range"}, [](auto& m) { m.integer("huge", 0, INT64_MAX); });
  refused({"f32 is 0.5"}, [](auto& m) { m.integer("f32", 0, 9); });
  refused({"ints is an array of 2 i32"}, [](auto& m) { m.integer("ints", 0, 9); });
  refused({"bool is true"}, [](auto& m) { m.integer("bool", 0, 9); });
  refused({"general.architecture is \"gemma4\""},
          [](auto& m) { m.number_or("general.architecture", 0, 0, 1); });
  refused({"u8 is 200", "true or false"}, [](auto& m) { m.boolean_or("u8", false); });
  refused({"u8 is 200", "a string"}, [](auto& m) { m.text_or("u8", ""); });
  refused({"ints[1] is -1", "0 to 9"}, [](auto& m) { m.integers("ints", 0, 9, 10); });
  refused({"ints", "at most 1"}, [](auto& m) { m.integers("ints", -9, 9, 1); });
  refused({"strings is an array of 3 string"}, [](auto& m) { m.integers("strings", 0, 9, 9); });
  refused({"ints", "an array of strings"}, [](auto& m) { m.strings("ints"); });
  refused({"strings", "at most 3 numbers"}, [](auto& m) { m.numbers("strings", 3); });
}

TEST(gguf, tensors_have_row_major_shapes_and_their_bytes) {
  const std::string bytes = example().bytes();
  const GgufFile file = parse(bytes);
  ASSERT_EQ(file.entries.size(), 3U);
  EXPECT_EQ(file.entries[0].tensor.shape, (std::vector<int64_t>{3}));
  EXPECT_EQ(file.entries[0].tensor.bytes.size(), 12U);
  EXPECT_EQ(file.entries[1].tensor.type, FileType::kQ8_0);
  EXPECT_EQ(file.entries[1].tensor.shape, (std::vector<int64_t>{2, 64}));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.entries[1].tensor.bytes.data()), 136),
            std::string(136, 'q'));
  EXPECT_FALSE(file.entries[2].known_type);
  EXPECT_EQ(file.entries[2].type_name, "type 77");
}

TEST(gguf, version_2_and_other_alignments) {
  GgufBytes f = example();
  f.version = 2;
  f.alignment = 64;
  f.u32("general.alignment", 64);
  const std::string bytes = f.bytes();
  EXPECT_EQ(parse(bytes).version, 2U);
  EXPECT_EQ(parse(bytes).entries.size(), 3U);
}

void refused(const GgufBytes& f, const std::vector<std::string>& words) {
  const std::string bytes = f.bytes();
  expect_error(ErrorKind::kBadModel, words, [&] { parse(bytes); });
}

TEST(gguf, other_files_and_versions) {
  GgufBytes f = example();
  f.magic = 0x46554746;
  refused(f, {"x.gguf", "not a GGUF file"});
  f = example();
  f.version = 1;
  refused(f, {"version 1", "2 or 3"});
  f.version = 4;
  refused(f, {"version 4"});
  f.version = 0x03000000;
  refused(f, {"big-endian"});
  expect_error(ErrorKind::kBadModel, {"not a GGUF file"}, [] { parse(""); });
  expect_error(ErrorKind::kBadModel, {"not a GGUF file"}, [] { parse("GGUF\3"); });
}

TEST(gguf, counts_beyond_the_file_are_refused_before_memory_is_taken) {
  for (const int64_t lie : {int64_t{1} << 60, int64_t{-4}, int64_t{1} << 31}) {
    GgufBytes f = example();
    f.add_to_tensor_count = lie;
    refused(f, {"the number of tensors", "only", "bytes follow"});
    f = example();
    f.add_to_value_count = lie - 20;
    refused(f, {"the number of metadata values", "bytes follow"});
  }
  for (const auto element : {GgufBytes::kString, GgufBytes::kU8, GgufBytes::kU64}) {
    GgufBytes f = example();
    f.set("ints", GgufBytes::kArray, GgufBytes::raw<uint32_t>(element) + GgufBytes::raw(uint64_t{1} << 60));
    refused(f, {"the length of metadata ints", std::to_string(uint64_t{1} << 60)});
  }
  GgufBytes f = example();
  f.set("general.architecture", GgufBytes::kString, GgufBytes::raw(UINT64_MAX));
  refused(f, {"general.architecture", "18446744073709551615"});
  f = example();
  f.add_to_tensor_count = 1;
  refused(f, {"x.gguf"});
}

TEST(gguf, values_that_no_file_should_have) {
  GgufBytes f = example();
  f.values.emplace_back("i8", f.values[2].second);
  refused(f, {"i8", "twice"});
  f = example();
  f.set("nested", GgufBytes::kArray, GgufBytes::raw<uint32_t>(9) + GgufBytes::raw<uint64_t>(0));
  refused(f, {"nested", "array of arrays"});
  f = example();
  f.set("odd", static_cast<GgufBytes::Type>(13), "");
  refused(f, {"odd", "value type 13"});
  f = example();
  f.set("odd", GgufBytes::kArray, GgufBytes::raw<uint32_t>(99) + GgufBytes::raw<uint64_t>(0));
  refused(f, {"odd", "value type 99"});
  for (const uint32_t alignment : {0U, 48U, 1U << 31}) {
    f = example();
    f.u32("general.alignment", alignment);
    refused(f, {"general.alignment", std::to_string(alignment)});
  }
}

TEST(gguf, tensors_that_no_file_should_have) {
  const auto changed = [](auto change, const std::vector<std::string>& words) {
    GgufBytes f = example();
    change(f);
    refused(f, words);
  };
  changed([](auto& f) { f.tensors[1].ne = {}; }, {"blocks", "0 dimensions", "1 to 4"});
  changed([](auto& f) { f.tensors[1].ne = {32, 1, 1, 1, 1}; }, {"blocks", "5 dimensions"});
  changed([](auto& f) { f.tensors[1].ne = {64, 0}; }, {"blocks", "size 0 in dimension 1"});
  changed(
      [](auto& f) {
        f.tensors[1].ne = {uint64_t{1} << 40, uint64_t{1} << 40};
      },
      {"blocks", "dimension 1"});
  changed([](auto& f) { f.tensors[1].ne = {UINT64_MAX}; }, {"blocks"});
  changed([](auto& f) { f.tensors[0].ne = {uint64_t{1} << 62}; }, {"vector", "more than 2^63 bytes"});
  changed([](auto& f) { f.tensors[1].ne = {48, 2}; }, {"blocks", "[2, 48]", "multiples of 32"});
  changed(
      [](auto& f) {
        f.tensors[2] = {"y", {32, 9}, 8, std::string(34, 'x')};
      },
      {"tensor y", "[9, 32]", "306 bytes", "cut short"});
  changed([](auto& f) { f.tensors[2].name = "vector"; }, {"vector", "twice"});
  changed([](auto& f) { f.tensors[0].ne = {30}; }, {"vector", "blocks", "overlap"});
  changed([](auto& f) { f.alignment = 8; }, {"blocks", "multiple of 32"});
}

TEST(gguf, every_truncation_is_an_error) {
  const std::string bytes = example().bytes();
  for (size_t kept = 0; kept + 32 < bytes.size(); ++kept)
    expect_error(ErrorKind::kBadModel, {"x.gguf"}, [&] { parse(bytes.substr(0, kept)); });
}

TEST(gguf, damaged_files_are_errors_or_views_inside_the_file) {
  const std::string good = example().bytes();
  std::mt19937 random(3);
  int refused_count = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string bytes = good;
    for (uint32_t edits = 1 + random() % 3; edits > 0; --edits)
      bytes[random() % bytes.size()] = static_cast<char>(random() % 3 == 0 ? 255 : random());
    try {
      const GgufFile file = parse(bytes);
      const auto* begin = reinterpret_cast<const uint8_t*>(bytes.data());
      for (const auto& entry : file.entries) {
        ASSERT_GE(entry.tensor.bytes.data(), begin);
        ASSERT_LE(entry.tensor.bytes.data() + entry.tensor.bytes.size(), begin + bytes.size());
      }
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBadModel) << e.what();
      ++refused_count;
    }
  }
  EXPECT_GT(refused_count, 1000);
}

TEST(gguf, names_and_orders_of_the_published_checkpoint) {
  const auto adopted = [](const char* name, std::vector<int64_t> shape) {
    FileTensor t;
    t.name = name;
    t.shape = std::move(shape);
    const std::string canonical = adopt_gguf_tensor(t);
    return std::make_tuple(canonical, t.shape, t.order);
  };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(adopted("blk.47.ffn_down.weight", {3840, 15360}),
            std::make_tuple("model.language_model.layers.47.mlp.down_proj.weight", Shape{3840, 15360},
                            StoredOrder::kAsPublished));
  EXPECT_EQ(std::get<0>(adopted("blk.0.layer_output_scale.weight", {1})),
            "model.language_model.layers.0.layer_scalar");
  EXPECT_EQ(std::get<0>(adopted("rope_freqs.weight", {256})), "rope_freqs.weight");
  EXPECT_EQ(std::get<0>(adopted("blk.0.unheard_of.weight", {1})), "blk.0.unheard_of.weight");
  EXPECT_EQ(adopted("v.patch_embd.weight", {3840, 6912}),
            std::make_tuple("model.vision_embedder.patch_dense.weight", Shape{3840, 6912},
                            StoredOrder::kChannelsFirst));
  EXPECT_EQ(adopted("v.patch_embd.bias", {3840}), std::make_tuple("model.vision_embedder.patch_dense.bias",
                                                                  Shape{3840}, StoredOrder::kAsPublished));
  EXPECT_EQ(
      adopted("v.patch_norm.1.bias", {6912}),
      std::make_tuple("model.vision_embedder.patch_ln1.bias", Shape{6912}, StoredOrder::kChannelsFirst));
  EXPECT_EQ(
      adopted("v.position_embd.weight", {2, 1120, 3840}),
      std::make_tuple("model.vision_embedder.pos_embedding", Shape{1120, 2, 3840}, StoredOrder::kAxesFirst));
  // Shapes that those orders cannot have are left as they are.
  EXPECT_EQ(std::get<2>(adopted("v.patch_norm.1.bias", {6911})), StoredOrder::kAsPublished);
  EXPECT_EQ(std::get<1>(adopted("v.position_embd.weight", {1120, 3840})), (Shape{1120, 3840}));
}

}  // namespace
}  // namespace tessera
