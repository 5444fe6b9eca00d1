// Directories: one file or shards, and an index that may lie.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "format/safetensors_writer.h"
#include "format/tensor_file.h"
#include "support/expect_error.h"
#include "support/safetensors_bytes.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

std::string file_with(const std::vector<std::string>& names, const char* dtype = "U8") {
  nlohmann::json header;
  size_t at = 0;
  for (const std::string& name : names) {
    header[name] = {{"dtype", dtype}, {"shape", {1}}, {"data_offsets", {at, at + 1}}};
    ++at;
  }
  return safetensors_bytes(header.dump(), std::string(at, 'z'));
}

void write_index(const TempDir& dir, const nlohmann::json& weight_map) {
  dir.write("model.safetensors.index.json", nlohmann::json{{"weight_map", weight_map}}.dump());
}

void expect_equal(const TensorStore& a, const TensorStore& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const auto& [name, tensor] : a.tensors()) {
    const FileTensor* other = b.find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_EQ(tensor.type, other->type) << name;
    EXPECT_EQ(tensor.shape, other->shape) << name;
    ASSERT_TRUE(
        std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin(), other->bytes.end()))
        << name;
  }
}

/// Writes the tensors of `from` for which `take` holds, under names that `spell` gives.
template <typename Take, typename Spell>
void copy_tensors(const TensorStore& from, const std::string& path, Take take, Spell spell) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : from.tensors())
    if (take(name)) entries.push_back({spell(name), tensor.type, tensor.shape});
  SafetensorsWriter writer(path, entries);
  for (const auto& [name, tensor] : from.tensors())
    if (take(name)) writer.write(tensor.bytes);
  writer.finish();
}

TEST(tensor_store, opens_the_small_checkpoint) {
  const TensorStore store = TensorStore::open_directory(kTiny);
  EXPECT_EQ(store.tensors().size(), 179U);
  EXPECT_EQ(store.files(), 1);
  EXPECT_EQ(store.file_bytes(), static_cast<int64_t>(read_bytes(kTiny + "/model.safetensors").size()));
  EXPECT_EQ(store.metadata().at("format"), "pt");
  EXPECT_EQ(store.find("model.language_model.layers.0.mlp.up_proj.weight")->shape,
            (std::vector<int64_t>{160, 64}));
  EXPECT_EQ(store.find("model.language_model.layers.12.layer_scalar"), nullptr);
}

TEST(tensor_store, shards_with_other_spellings_equal_the_single_file) {
  const TensorStore single = TensorStore::open_directory(kTiny);
  const TempDir dir;
  nlohmann::json weight_map;
  const auto mlx = [](std::string name) {
    name.erase(0, std::string("model.").size());
    const std::string language = "language_model.";
    return name.starts_with(language) ? language + "model." + name.substr(language.size()) : name;
  };
  for (int shard = 0; shard < 3; ++shard) {
    const std::string file = "model-0000" + std::to_string(shard + 1) + "-of-00003.safetensors";
    const auto take = [&](const std::string& name) { return static_cast<int>(name.size() % 3) == shard; };
    copy_tensors(single, dir.file(file), take, mlx);
    for (const auto& [name, tensor] : single.tensors())
      if (take(name)) weight_map[mlx(name)] = file;
  }
  write_index(dir, weight_map);
  const TensorStore sharded = TensorStore::open_directory(dir.path());
  EXPECT_EQ(sharded.files(), 3);
  expect_equal(single, sharded);
}

TEST(tensor_store, a_file_of_odd_header_length_gives_unaligned_views) {
  const TempDir dir;
  const std::string header = R"({"norm.weight":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const std::string path = dir.write("x.safetensors", safetensors_bytes(header, "0abcdefgh"));
  const TensorStore store = TensorStore::open_file(path);
  const FileTensor* norm = store.find("model.language_model.norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->name, "norm.weight");
  EXPECT_EQ(std::string(norm->bytes.begin(), norm->bytes.end()), "abcdefgh");
}

TEST(tensor_store, an_output_matrix_is_ignored_and_an_unknown_type_fails_only_when_needed) {
  const TempDir dir;
  dir.write(
      "model.safetensors",
      safetensors_bytes(R"({"lm_head.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                        R"("model.norm.weight":{"dtype":"MX9","shape":[3],"data_offsets":[1,2]},)"
                        R"("model.embed_tokens.weight":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                        "012"));
  const TensorStore store = TensorStore::open_directory(dir.path());
  EXPECT_EQ(store.tensors().size(), 1U);
  EXPECT_NE(store.find("model.language_model.embed_tokens.weight"), nullptr);
  expect_error(ErrorKind::kBadModel, {"model.norm.weight", "MX9", dir.path()},
               [&] { store.find("model.language_model.norm.weight"); });
}

TEST(tensor_store, one_tensor_under_two_spellings_is_refused) {
  const TempDir dir;
  dir.write("model.safetensors", file_with({"model.norm.weight", "language_model.model.norm.weight"}));
  expect_error(ErrorKind::kBadModel, {"there twice", "model.norm.weight", "language_model.model.norm.weight"},
               [&] { TensorStore::open_directory(dir.path()); });
}

TEST(tensor_store, one_tensor_in_two_shards_is_refused) {
  const TempDir dir;
  dir.write("a.safetensors", file_with({"model.norm.weight"}));
  dir.write("b.safetensors", file_with({"model.norm.weight", "model.embed_tokens.weight"}));
  write_index(dir, {{"model.norm.weight", "a.safetensors"}, {"model.embed_tokens.weight", "b.safetensors"}});
  expect_error(ErrorKind::kBadModel, {"there twice", "model.norm.weight", "a.safetensors", "b.safetensors"},
               [&] { TensorStore::open_directory(dir.path()); });
}

TEST(tensor_store, a_missing_shard_is_named_with_one_of_its_tensors) {
  const TempDir dir;
  dir.write("a.safetensors", file_with({"model.norm.weight"}));
  write_index(dir, {{"model.norm.weight", "a.safetensors"}, {"model.embed_tokens.weight", "b.safetensors"}});
  expect_error(ErrorKind::kIo, {"b.safetensors", "model.embed_tokens.weight", "missing"},
               [&] { TensorStore::open_directory(dir.path()); });
}

TEST(tensor_store, a_listed_tensor_must_be_in_its_shard) {
  const TempDir dir;
  dir.write("a.safetensors", file_with({"model.norm.weight"}));
  dir.write("b.safetensors", file_with({"model.layers.0.layer_scalar"}));
  write_index(dir,
              {{"model.norm.weight", "b.safetensors"}, {"model.layers.0.layer_scalar", "b.safetensors"}});
  expect_error(ErrorKind::kBadModel, {"b.safetensors", "has no tensor model.norm.weight"},
               [&] { TensorStore::open_directory(dir.path()); });
}

TEST(tensor_store, a_listed_output_matrix_may_be_absent) {
  const TempDir dir;
  dir.write("a.safetensors", file_with({"model.norm.weight"}));
  write_index(dir, {{"model.norm.weight", "a.safetensors"}, {"lm_head.weight", "a.safetensors"}});
  EXPECT_EQ(TensorStore::open_directory(dir.path()).tensors().size(), 1U);
}

TEST(tensor_store, an_index_cannot_reach_outside_its_directory) {
  const TempDir dir, outside;
  const std::string target = outside.write("secret.safetensors", file_with({"model.norm.weight"}));
  for (const std::string& name :
       {target, std::string("../secret.safetensors"), std::string(".."), std::string("."), std::string(),
        std::string("a/b.safetensors"), std::string("a\\b.safetensors"), std::string("a\0b.safetensors", 15),
        std::string(300, 'x')}) {
    SCOPED_TRACE(name);
    write_index(dir, {{"model.norm.weight", name}});
    expect_error(ErrorKind::kBadModel, {"model.norm.weight", "expected a file name of this directory"},
                 [&] { TensorStore::open_directory(dir.path()); });
  }
}

TEST(tensor_store, bad_indexes_are_refused) {
  const std::pair<const char*, const char*> table[] = {
      {"[]", "no \"weight_map\""},
      {"{}", "no \"weight_map\""},
      {R"({"weight_map":[]})", "no \"weight_map\""},
      {R"({"weight_map":{}})", "is empty"},
      {R"({"weight_map":{"a":1}})", "expected a file name"},
      {R"({"weight_map":{"a":"x","a":"y"}})", "occurs twice"},
      {"{", "not valid JSON"}};
  for (const auto& [text, message] : table) {
    SCOPED_TRACE(text);
    const TempDir dir;
    dir.write("model.safetensors.index.json", text);
    expect_error(ErrorKind::kBadModel, {message}, [&] { TensorStore::open_directory(dir.path()); });
  }
}

TEST(tensor_store, a_directory_without_weights_says_what_it_has) {
  const TempDir dir;
  expect_error(ErrorKind::kIo, {"no weight files", "model.safetensors"},
               [&] { TensorStore::open_directory(dir.path()); });
  dir.write("gemma.gguf", "GGUF");
  expect_error(ErrorKind::kIo, {"gemma.gguf"}, [&] { TensorStore::open_directory(dir.path()); });
  expect_error(ErrorKind::kIo, {"/nowhere/at/all"}, [&] { TensorStore::open_directory("/nowhere/at/all"); });
}

TEST(safetensors_writer, header_is_padded_and_an_unfinished_file_is_removed) {
  const TempDir dir;
  {
    SafetensorsWriter writer(dir.file("a.safetensors"),
                             {{"x", FileType::kF32, {2}}, {"y", FileType::kBF16, {3}}});
    const std::string data = "0123456789abcd";
    for (size_t i = 0; i < data.size(); i += 5) {
      const std::string piece = data.substr(i, 5);
      writer.write({reinterpret_cast<const uint8_t*>(piece.data()), piece.size()});
    }
    writer.finish();
  }
  const std::string bytes = read_bytes(dir.file("a.safetensors"));
  EXPECT_EQ(static_cast<uint8_t>(bytes[0]) % 8, 0) << "the data area starts at a multiple of 8";
  const TensorStore store = TensorStore::open_file(dir.file("a.safetensors"));
  EXPECT_EQ(store.find("y")->bytes[0], '8');
  { SafetensorsWriter writer(dir.file("b.safetensors"), {{"x", FileType::kF32, {2}}}); }
  EXPECT_FALSE(file_exists(dir.file("b.safetensors")));
  expect_error(ErrorKind::kIo, {"/nowhere/x.safetensors"},
               [] { SafetensorsWriter writer("/nowhere/x.safetensors", {}); });
}

}  // namespace
}  // namespace tessera
