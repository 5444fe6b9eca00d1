// ModelInfo: parameters by block, number formats, memory.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/model_info.h"
#include "format/safetensors_writer.h"
#include "model/names.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

/// A copy of the small checkpoint's JSON files.
void copy_json(const TempDir& dir) {
  for (const char* name :
       {"config.json", "generation_config.json", "processor_config.json", "tokenizer.json"})
    dir.write(name, read_bytes(kTiny + "/" + name));
}

TEST(inspect, the_small_checkpoint) {
  const ModelInfo info = inspect_model(kTiny);
  EXPECT_EQ(info.path, kTiny);
  EXPECT_EQ(info.format, "safetensors, 1 file");
  EXPECT_EQ(info.hidden, 64);
  EXPECT_EQ(info.vocab, 1024);
  EXPECT_EQ(info.window, 16);
  EXPECT_EQ(info.logit_softcap, 30.0F);
  ASSERT_EQ(info.layers.size(), 12U);
  EXPECT_TRUE(info.layers[0].sliding);
  EXPECT_FALSE(info.layers[0].v_is_k);
  EXPECT_TRUE(info.layers[5].v_is_k);
  EXPECT_EQ(info.layers[5].head_dim, 32);
  // q 64*64, k and v 32*64, o 64*64, three of 160*64, four norms of 64, two of 16, one scalar
  EXPECT_EQ(info.layers[0].parameters, 4096 + 2 * 2048 + 4096 + 3 * 10240 + 4 * 64 + 2 * 16 + 1);
  EXPECT_EQ(info.embedding_parameters, 65536);
  EXPECT_EQ(info.audio_parameters, 64 * 640);
  EXPECT_EQ(info.vision_projection_parameters, 64 * 64);
  EXPECT_EQ(info.vision_parameters, 64 * 6912 + 64 + 2 * 6912 + 4 * 64 + 1120 * 2 * 64);
  ASSERT_EQ(info.dtypes.size(), 1U);
  EXPECT_EQ(info.dtypes[0].dtype, "BF16");
  EXPECT_EQ(info.dtypes[0].tensors, 179);
  EXPECT_EQ(info.dtypes[0].parameters, info.total_parameters);
  EXPECT_EQ(info.dtypes[0].bytes, 2 * info.total_parameters);
  EXPECT_EQ(info.weight_bytes, 2 * info.total_parameters);
  EXPECT_EQ(info.file_bytes, static_cast<int64_t>(read_bytes(kTiny + "/model.safetensors").size()));
  EXPECT_EQ(info.vocab_entries, 1024);
  EXPECT_EQ(info.merges, 646);
  EXPECT_EQ(info.control_tokens, 24);
  EXPECT_EQ(info.end_tokens, (std::vector<int32_t>{1, 16}));
  EXPECT_EQ(info.suppressed_tokens, (std::vector<int32_t>{18, 21}));
  EXPECT_EQ(info.default_image_budget, 280);
  EXPECT_EQ(info.default_video_budget, 70);
}

TEST(inspect, kv_bytes_of_the_12b_by_hand) {
  ModelInfo info;
  info.window = 1024;
  for (int i = 0; i < 48; ++i)
    info.layers.push_back({i % 6 != 5, 16, i % 6 != 5 ? 8 : 1, i % 6 != 5 ? 256 : 512, i % 6 == 5, 0});
  // 40 sliding layers keep 2 * 2048 values a position, 8 full layers 2 * 512; 4 bytes each
  const int64_t sliding = int64_t{40} * 2 * 2048 * 4, full = int64_t{8} * 2 * 512 * 4;
  EXPECT_EQ(info.kv_bytes(1), sliding + full);
  EXPECT_EQ(info.kv_bytes(2000), 2000 * (sliding + full)) << "shorter than window and step";
  EXPECT_EQ(info.kv_bytes(262144), (1023 + 1120) * sliding + 262144 * full);
  EXPECT_EQ(info.kv_bytes(262144, 4096), (1023 + 4096) * sliding + 262144 * full);
  EXPECT_EQ(info.kv_bytes(262144, 1), info.kv_bytes(262144, 1120));
}

/// Writes the small checkpoint with every matrix of the decoder quantised, as MLX does: codes are whatever is
/// in the bytes.
void write_quantised(const TempDir& dir, int bits, int group) {
  const ModelConfig config = ModelConfig::load(kTiny);
  std::vector<SafetensorsWriter::Entry> entries;
  int64_t bytes = 0;
  const auto add = [&](const std::string& name, FileType type, std::vector<int64_t> shape) {
    int64_t n = type_bytes(type);
    for (const int64_t size : shape) n *= size;
    bytes += n;
    entries.push_back({name, type, std::move(shape)});
  };
  for (const ExpectedTensor& t : expected_tensors(config)) {
    const bool quantised = t.shape.size() == 2 && t.shape[1] % group == 0;
    if (!quantised) {
      add(t.name, FileType::kBF16, t.shape);
      continue;
    }
    const std::string module = t.name.substr(0, t.name.size() - 7);
    add(t.name, FileType::kU32, {t.shape[0], t.shape[1] * bits / 32});
    add(module + ".scales", FileType::kBF16, {t.shape[0], t.shape[1] / group});
    add(module + ".biases", FileType::kBF16, {t.shape[0], t.shape[1] / group});
  }
  SafetensorsWriter writer(dir.file("model.safetensors"), entries);
  writer.write(std::vector<uint8_t>(static_cast<size_t>(bytes), 1));
  writer.finish();
}

TEST(inspect, quantised_modules_count_what_they_unpack_to) {
  const TempDir dir;
  copy_json(dir);
  write_quantised(dir, 4, 32);
  const ModelInfo plain = inspect_model(kTiny), packed = inspect_model(dir.path());
  EXPECT_EQ(packed.total_parameters, plain.total_parameters);
  EXPECT_EQ(packed.text_parameters, plain.text_parameters);
  EXPECT_EQ(packed.default_kv, "bf16");
  EXPECT_EQ(plain.default_kv, "f32");
  ASSERT_EQ(packed.dtypes.size(), 2U);
  int64_t tensors = 0, parameters = 0, affine_bytes = 0, affine_parameters = 0;
  for (const TensorCount& t : packed.dtypes) {
    tensors += t.tensors;
    parameters += t.parameters;
    if (t.dtype == "affine 4-bit/32") {
      affine_bytes = t.bytes;
      affine_parameters = t.parameters;
    }
  }
  EXPECT_EQ(tensors, 179);
  EXPECT_EQ(parameters, plain.total_parameters);
  EXPECT_GT(affine_parameters, 0);
  EXPECT_EQ(affine_bytes, affine_parameters / 2 + affine_parameters / 32 * 4) << "codes, scales and offsets";
}

TEST(inspect, float32_weights_are_held_as_float32) {
  const TempDir dir;
  copy_json(dir);
  std::vector<SafetensorsWriter::Entry> entries;
  int64_t bytes = 0;
  for (const ExpectedTensor& t : expected_tensors(ModelConfig::load(kTiny))) {
    const FileType type = t.shape.size() == 1 ? FileType::kF16 : FileType::kF32;
    entries.push_back({t.name, type, t.shape});
    int64_t n = type_bytes(type);
    for (const int64_t size : t.shape) n *= size;
    bytes += n;
  }
  SafetensorsWriter writer(dir.file("model.safetensors"), entries);
  writer.write(std::vector<uint8_t>(static_cast<size_t>(bytes)));
  writer.finish();
  const ModelInfo info = inspect_model(dir.path());
  EXPECT_EQ(info.weight_bytes, 4 * info.total_parameters);
  ASSERT_EQ(info.dtypes.size(), 2U);
  EXPECT_EQ(info.dtypes[0].dtype, "F32");
  EXPECT_EQ(info.dtypes[1].dtype, "F16");
}

/// The small checkpoint with tensors left out or given another shape.
template <typename Change>
void write_changed(const TempDir& dir, Change change) {
  copy_json(dir);
  std::vector<SafetensorsWriter::Entry> entries;
  int64_t bytes = 0;
  for (const ExpectedTensor& t : expected_tensors(ModelConfig::load(kTiny))) {
    SafetensorsWriter::Entry entry{t.name, FileType::kBF16, t.shape};
    if (!change(entry)) continue;
    int64_t n = 2;
    for (const int64_t size : entry.shape) n *= size;
    bytes += n;
    entries.push_back(std::move(entry));
  }
  SafetensorsWriter writer(dir.file("model.safetensors"), entries);
  writer.write(std::vector<uint8_t>(static_cast<size_t>(bytes)));
  writer.finish();
}

TEST(inspect, a_missing_or_misshapen_tensor_is_named) {
  const std::string name = "model.language_model.layers.3.mlp.down_proj.weight";
  const TempDir missing, misshapen;
  write_changed(missing, [&](const SafetensorsWriter::Entry& e) { return e.name != name; });
  expect_error(ErrorKind::kBadModel, {missing.path(), name, "missing"},
               [&] { inspect_model(missing.path()); });
  write_changed(misshapen, [&](SafetensorsWriter::Entry& e) {
    if (e.name == name) e.shape = {160, 64};
    return true;
  });
  expect_error(ErrorKind::kBadModel, {name, "[160, 64]", "[64, 160]"},
               [&] { inspect_model(misshapen.path()); });
}

TEST(inspect, the_tensors_decide_what_a_checkpoint_has) {
  const TempDir dir;
  write_changed(dir,
                [](const SafetensorsWriter::Entry& e) { return e.name.find("vision") == std::string::npos; });
  const ModelInfo info = inspect_model(dir.path());
  EXPECT_EQ(info.vision_parameters + info.vision_projection_parameters, 0);
  EXPECT_EQ(info.mm_embed, 0);
  EXPECT_EQ(info.total_parameters, info.text_parameters + info.audio_parameters);

  nlohmann::json config = nlohmann::json::parse(read_bytes(kTiny + "/config.json"));
  config["text_config"]["attention_k_eq_v"] = false;  // but no full layer has a v_proj
  const TempDir v_is_k;
  write_changed(v_is_k, [](const SafetensorsWriter::Entry&) { return true; });
  v_is_k.write("config.json", config.dump());
  EXPECT_TRUE(inspect_model(v_is_k.path()).layers[5].v_is_k);
  EXPECT_EQ(inspect_model(v_is_k.path()).total_parameters, inspect_model(kTiny).total_parameters);
}

}  // namespace
}  // namespace tessera
