// The GGUF writer against a reader of the tests' own.
#include "format/gguf_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "support/expect_error.h"
#include "support/gguf_reader.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

std::string pattern(size_t bytes, uint8_t first) {
  std::string out(bytes, 0);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(first + 7 * i);
  return out;
}

std::span<const uint8_t> span_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(gguf_writer, every_type_of_metadata) {
  GgufHeader header;
  header.number<uint8_t>("u8", 200);
  header.number<int8_t>("i8", -100);
  header.number<uint16_t>("u16", 60000);
  header.number<int16_t>("i16", -30000);
  header.number<uint32_t>("u32", 4000000000U);
  header.number<int32_t>("i32", -2000000000);
  header.number<uint64_t>("u64", uint64_t{1} << 63);
  header.number<int64_t>("i64", INT64_MIN);
  header.number("f32", 1.5F);
  header.number("f64", -0.1);
  header.boolean("yes", true);
  header.boolean("no", false);
  header.text("text", std::string_view("a\0b\n", 4));
  header.text("empty", "");
  const std::vector<int32_t> numbers = {-1, 0, 7};
  header.numbers<int32_t>("numbers", numbers);
  header.numbers<float>("none", {});
  header.booleans("pattern", {true, false, true});
  const std::vector<std::string_view> words = {"<bos>", "", "\xe2\x96\x81the \n"};
  header.texts("words", words);
  EXPECT_EQ(header.count(), 18U);
  EXPECT_TRUE(header.has("f64"));
  EXPECT_FALSE(header.has("f6"));

  const TempDir dir;
  GgufWriter(dir.file("x"), header, {}).finish();
  const std::string bytes = read_bytes(dir.file("x"));
  EXPECT_EQ(bytes.size() % 32, 0U);
  GgufTestFile file = GgufTestReader(bytes).read();
  EXPECT_EQ(file.keys.front(), "u8");
  EXPECT_EQ(file.keys.back(), "words");
  auto& v = file.values;
  EXPECT_EQ(v["u8"].as<uint8_t>(), 200);
  EXPECT_EQ(v["i8"].as<int8_t>(), -100);
  EXPECT_EQ(v["u16"].as<uint16_t>(), 60000);
  EXPECT_EQ(v["i16"].as<int16_t>(), -30000);
  EXPECT_EQ(v["u32"].as<uint32_t>(), 4000000000U);
  EXPECT_EQ(v["i32"].as<int32_t>(), -2000000000);
  EXPECT_EQ(v["u64"].as<uint64_t>(), uint64_t{1} << 63);
  EXPECT_EQ(v["i64"].as<int64_t>(), INT64_MIN);
  EXPECT_EQ(v["f32"].as<float>(), 1.5F);
  EXPECT_EQ(v["f64"].as<double>(), -0.1);
  const uint32_t types[] = {0, 1, 2, 3, 4, 5, 10, 11, 6, 12, 7, 7, 8, 8, 9, 9, 9, 9};
  for (size_t i = 0; i < file.keys.size(); ++i) EXPECT_EQ(v[file.keys[i]].type, types[i]) << file.keys[i];
  EXPECT_EQ(v["yes"].items, std::vector<std::string>{"\1"});
  EXPECT_EQ(v["no"].items, std::vector<std::string>{std::string(1, '\0')});
  EXPECT_EQ(v["text"].items[0], std::string("a\0b\n", 4));
  EXPECT_EQ(v["empty"].items[0], "");
  EXPECT_EQ(v["numbers"].element, 5U);
  EXPECT_EQ(v["numbers"].as<int32_t>(2), 7);
  EXPECT_EQ(v["none"].element, 6U);
  EXPECT_TRUE(v["none"].items.empty());
  EXPECT_EQ(v["pattern"].element, 7U);
  EXPECT_EQ(v["pattern"].items, (std::vector<std::string>{"\1", std::string(1, '\0'), "\1"}));
  EXPECT_EQ(v["words"].items, (std::vector<std::string>{"<bos>", "", "\xe2\x96\x81the \n"}));
}

TEST(gguf_writer, tensors_of_every_type_in_pieces_of_any_size) {
  struct Known {
    FileType type;
    uint32_t number;
    int64_t cols, row_bytes;
  };
  const Known known[] = {
      {FileType::kF32, 0, 3, 12},      {FileType::kF16, 1, 5, 10},      {FileType::kBF16, 30, 7, 14},
      {FileType::kQ4_0, 2, 64, 36},    {FileType::kQ4_1, 3, 32, 20},    {FileType::kQ5_0, 6, 32, 22},
      {FileType::kQ5_1, 7, 32, 24},    {FileType::kQ8_0, 8, 96, 102},   {FileType::kQ4_K, 12, 256, 144},
      {FileType::kQ5_K, 13, 256, 176}, {FileType::kQ6_K, 14, 512, 420}, {FileType::kIQ4_NL, 20, 32, 18}};
  for (const size_t piece : {size_t{1}, size_t{31}, size_t{100000}}) {
    const TempDir dir;
    std::vector<GgufWriter::Entry> entries;
    std::string data;
    for (const Known& k : known) {
      entries.push_back({"t" + std::to_string(k.number), k.type, {2, 3, k.cols}});
      EXPECT_EQ(GgufWriter::bytes_of(entries.back()), 6 * k.row_bytes);
      data += pattern(static_cast<size_t>(6 * k.row_bytes), static_cast<uint8_t>(k.number));
    }
    GgufHeader header;
    header.text("general.architecture", "gemma4");
    GgufWriter writer(dir.file("x"), header, entries);
    for (size_t at = 0; at < data.size(); at += piece)
      writer.write(span_of(data).subspan(at, std::min(piece, data.size() - at)));
    writer.finish();
    const std::string bytes = read_bytes(dir.file("x"));
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), writer.file_bytes());
    GgufTestFile file = GgufTestReader(bytes).read();
    for (const Known& k : known) {
      const GgufTestTensor& t = file.tensors.at("t" + std::to_string(k.number));
      EXPECT_EQ(t.type, k.number);
      EXPECT_EQ(t.ne, (std::vector<uint64_t>{static_cast<uint64_t>(k.cols), 3, 2}));
      const std::string expected =
          pattern(static_cast<size_t>(6 * k.row_bytes), static_cast<uint8_t>(k.number));
      ASSERT_LT(t.bytes.size() - expected.size(), 32U);
      EXPECT_EQ(t.bytes.substr(0, expected.size()), expected);
      EXPECT_EQ(t.bytes.substr(expected.size()), std::string(t.bytes.size() - expected.size(), '\0'));
    }
  }
}

std::vector<std::string> files_in(const TempDir& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path()))
    names.push_back(entry.path().filename().string());
  return names;
}

TEST(gguf_writer, a_file_has_its_name_once_it_is_whole) {
  const TempDir dir;
  dir.write("x", "what was there before");
  {
    GgufWriter writer(dir.file("x"), {}, {{"a", FileType::kF32, {100}}});
    writer.write(span_of(pattern(40, 1)));
    EXPECT_EQ(files_in(dir).size(), 2U);
  }
  EXPECT_EQ(files_in(dir), std::vector<std::string>{"x"});
  EXPECT_EQ(read_bytes(dir.file("x")), "what was there before");
  GgufWriter(dir.file("x"), {}, {}).finish();
  EXPECT_EQ(read_bytes(dir.file("x")).substr(0, 4), "GGUF");
  EXPECT_EQ(files_in(dir), std::vector<std::string>{"x"});
}

TEST(gguf_writer, places_that_cannot_be_written) {
  const TempDir dir;
  expect_error(ErrorKind::kIo, {"missing/x", "cannot create"},
               [&] { GgufWriter(dir.file("missing/x"), {}, {}); });
  expect_error(ErrorKind::kIo, {dir.path(), "directory"}, [&] { GgufWriter(dir.path(), {}, {}); });
}

TEST(gguf_writer, a_full_disk_is_an_error_and_leaves_nothing) {
  const TempDir dir;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1 << 20, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::kIo, {"x.part", "disk space"}, [&] {
    GgufWriter writer(dir.file("x"), {}, {{"a", FileType::kF32, {1 << 20}}});
    writer.write(span_of(pattern(4 << 20, 1)));
    writer.finish();
  });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(files_in(dir).empty());
}

TEST(gguf_writer, a_device_is_written_to_and_stays) {
  GgufWriter("/dev/null", {}, {}).finish();
  { const GgufWriter unfinished("/dev/null", {}, {{"a", FileType::kF32, {100}}}); }
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(gguf_writer, rows_that_are_not_whole_blocks) {
  expect_error(ErrorKind::kBadModel, {"640", "Q4_K"}, [] {
    GgufWriter::bytes_of({"x", FileType::kQ4_K, {2, 640}});
  });
}

}  // namespace
}  // namespace tessera
