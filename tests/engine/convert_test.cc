// convert(): there and back without loss where there is a way, and said where there is none.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/dtype.h"
#include "engine/source_model.h"
#include "support/expect_error.h"
#include "support/gguf_model.h"
#include "support/temp_dir.h"
#include "tessera/tessera.h"

namespace tessera::test {
namespace {

const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

ConvertOptions to(const std::string& format, const std::string& model, const std::string& out) {
  ConvertOptions options;
  options.model = model;
  options.out = out;
  options.to = format;
  options.threads = 2;
  return options;
}

std::string all_notes(const WriteReport& report) {
  std::string all;
  for (const std::string& note : report.notes) all += note + "\n";
  return all;
}

/// Every tensor of both models, value by value.
void expect_same_values(const SourceModel& a, const SourceModel& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    const SourceTensor &x = a.tensors()[i], &y = b.tensors()[i];
    ASSERT_EQ(x.expected.name, y.expected.name);
    ASSERT_EQ(x.expected.shape, y.expected.shape);
    std::vector<float> v(static_cast<size_t>(x.elements())), w(v.size());
    x.read(0, x.rows(), v.data());
    y.read(0, y.rows(), w.data());
    for (size_t k = 0; k < v.size(); ++k) ASSERT_EQ(v[k], w[k]) << x.expected.name << " [" << k << "]";
  }
}

bool same_bytes(const FileTensor& a, const FileTensor& b) {
  return a.type == b.type && a.shape == b.shape && a.bytes.size() == b.bytes.size() &&
         std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

void expect_same_config(const ModelConfig& a, const ModelConfig& b) {
  EXPECT_EQ(a.hidden, b.hidden);
  EXPECT_EQ(a.intermediate, b.intermediate);
  EXPECT_EQ(a.vocab, b.vocab);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ(a.max_context, b.max_context);
  EXPECT_EQ(a.rms_eps, b.rms_eps);
  EXPECT_EQ(a.logit_softcap, b.logit_softcap);
  EXPECT_EQ(a.rope_full.theta, b.rope_full.theta);
  EXPECT_EQ(a.rope_full.rotary_fraction, b.rope_full.rotary_fraction);
  EXPECT_EQ(a.mm_embed, b.mm_embed);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.image_token, b.image_token);
  EXPECT_EQ(a.audio_end, b.audio_end);
  EXPECT_EQ(a.suppressed_tokens, b.suppressed_tokens);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (size_t i = 0; i < a.layers.size(); ++i) {
    EXPECT_EQ(a.layers[i].sliding, b.layers[i].sliding);
    EXPECT_EQ(a.layers[i].kv_heads, b.layers[i].kv_heads);
    EXPECT_EQ(a.layers[i].head_dim, b.layers[i].head_dim);
    EXPECT_EQ(a.layers[i].v_is_k, b.layers[i].v_is_k);
  }
}

TEST(Convert, Bfloat16ThroughGgufAndBackKeepsEveryByte) {
  const TempDir dir;
  ConvertOptions there = to("gguf", kTiny, dir.file("tiny.gguf"));
  there.mmproj_out = dir.file("mmproj-tiny.gguf");
  EXPECT_EQ(all_notes(convert(there)), "");
  EXPECT_EQ(all_notes(convert(to("hf", there.out, dir.file("hf")))), "");
  const TensorStore given = TensorStore::open_directory(kTiny),
                    back = TensorStore::open_directory(dir.file("hf"));
  ASSERT_EQ(back.tensors().size(), given.tensors().size());
  for (const auto& [name, tensor] : given.tensors())
    ASSERT_TRUE(same_bytes(tensor, *back.find(name))) << name;
  expect_same_config(ModelConfig::load(dir.file("hf")), ModelConfig::load(kTiny));
  for (const std::string text :
       {"Flight BA 117\n\n", "\xc3\x84pfel \xe4\xbd\xa0 <|turn>user\n\\\"quoted\"\x01", ""})
    EXPECT_EQ(tokenize(dir.file("hf"), text), tokenize(kTiny, text));
}

TEST(Convert, MlxWithoutBitsIsTheSameModelUnderOtherNames) {
  const TempDir dir;
  EXPECT_EQ(all_notes(convert(to("mlx", kTiny, dir.file("mlx")))), "");
  const auto tensors = read_golden(dir.file("mlx/model.safetensors"));
  EXPECT_TRUE(tensors.contains("language_model.model.layers.0.layer_scalar"));
  EXPECT_TRUE(tensors.contains("vision_embedder.pos_embedding"));
  EXPECT_TRUE(tensors.contains("embed_audio.embedding_projection.weight"));
  expect_same_values(SourceModel(kTiny, ""), SourceModel(dir.file("mlx"), ""));
}

TEST(Convert, BlocksBecomeAffineGroupsOfTheSameValuesAndBack) {
  for (const BlockKind& kind : block_kinds()) {
    SCOPED_TRACE(kind.name);
    const std::string name = kind.name;
    const TempDir dir;
    const std::string model = dir.write("model.gguf", quantised_gguf(kind, 5).bytes());
    const WriteReport report = convert(to("mlx", model, dir.file("mlx")));
    const bool exact = name != "Q6_K" && name != "IQ4_NL";
    EXPECT_EQ(report.notes.empty(), exact) << all_notes(report);
    if (!exact) {
      EXPECT_NE(all_notes(report).find(name + " has no exact form here; opened as BF16"), std::string::npos);
      continue;
    }
    const SourceModel blocks(model, ""), affine(dir.file("mlx"), "");
    EXPECT_TRUE(affine.tensors()[0].is_affine());
    EXPECT_EQ(affine.tensors()[0].group, 32);
    EXPECT_EQ(affine.tensors()[0].bits, name[1] - '0');
    expect_same_values(blocks, affine);
    if (name.ends_with("_K")) continue;  // float32 scales: too fine for the simple blocks
    EXPECT_EQ(all_notes(convert(to("gguf", dir.file("mlx"), dir.file("back.gguf")))), "");
    const TensorStore back = TensorStore::open_gguf(dir.file("back.gguf"), "");
    for (const auto& [tensor_name, tensor] : blocks.store().tensors())
      ASSERT_TRUE(same_bytes(tensor, *back.find(tensor_name))) << tensor_name;
  }
}

TEST(Convert, KBlocksCopiedToGgufStayAsTheyAre) {
  const TempDir dir;
  const std::string model = dir.write("model.gguf", quantised_gguf(block_kinds()[7], 6).bytes());
  convert(to("gguf", model, dir.file("copy.gguf")));
  const TensorStore a = TensorStore::open_gguf(model, ""),
                    b = TensorStore::open_gguf(dir.file("copy.gguf"), "");
  for (const auto& [name, tensor] : a.tensors())
    ASSERT_TRUE(same_bytes(tensor, *b.find(name)) || tensor.type == FileType::kF32) << name;
}

TEST(Convert, BitsQuantiseEveryMatrix) {
  for (const auto& [bits, group, bound] :
       {std::tuple{4, 32, 0.12}, {4, 64, 0.14}, {8, 32, 0.01}, {8, 64, 0.01}}) {
    SCOPED_TRACE(std::to_string(bits) + " bits, groups of " + std::to_string(group));
    const TempDir dir;
    ConvertOptions options = to("mlx", kTiny, dir.file("mlx"));
    options.bits = bits;
    options.group = group;
    const WriteReport report = convert(options);
    const auto config = nlohmann::json::parse(read_bytes(dir.file("mlx/config.json")));
    EXPECT_EQ(config["quantization"]["bits"], bits);
    EXPECT_EQ(config["quantization"]["group_size"], group);
    EXPECT_EQ(config["quantization"], config["quantization_config"]);
    // 160 is no multiple of 64.
    EXPECT_EQ(all_notes(report).find("160 values") != std::string::npos, group == 64);
    const SourceModel given(kTiny, ""), made(dir.file("mlx"), "");
    for (size_t i = 0; i < given.tensors().size(); ++i) {
      const SourceTensor &x = given.tensors()[i], &y = made.tensors()[i];
      EXPECT_EQ(y.is_affine(), x.is_matrix() && x.cols() % group == 0) << x.expected.name;
      std::vector<float> v(static_cast<size_t>(x.elements())), w(v.size());
      x.read(0, x.rows(), v.data());
      y.read(0, y.rows(), w.data());
      double error = 0, squares = 0;
      for (size_t k = 0; k < v.size(); ++k) {
        error += std::pow(double{v[k]} - w[k], 2);
        squares += std::pow(double{v[k]}, 2);
      }
      ASSERT_LE(std::sqrt(error / squares), y.is_affine() ? bound : 0) << x.expected.name;
    }
  }
}

TEST(Convert, AffineWithoutAnExactFormIsRoundedOrQuantisedAndSaidToBe) {
  const TempDir dir;
  ConvertOptions options = to("mlx", kTiny, dir.file("mlx"));
  options.bits = 8;
  options.group = 32;
  convert(options);
  const std::string notes = all_notes(convert(to("gguf", dir.file("mlx"), dir.file("a.gguf"))));
  EXPECT_NE(notes.find("affine 8-bit/32 has no exact form in GGUF; written as BF16"), std::string::npos)
      << notes;
  ConvertOptions q8 = to("gguf", dir.file("mlx"), dir.file("b.gguf"));
  q8.type = "q8_0";
  EXPECT_NE(all_notes(convert(q8)).find("written as Q8_0"), std::string::npos);
  const SourceModel model(dir.file("b.gguf"), "");
  EXPECT_EQ(model.tensors()[0].tensor->type, FileType::kQ8_0);
  ConvertOptions f32 = to("hf", dir.file("mlx"), dir.file("hf"));
  f32.type = "f32";
  convert(f32);
  expect_same_values(SourceModel(dir.file("mlx"), ""), SourceModel(dir.file("hf"), ""));
  EXPECT_FALSE(nlohmann::json::parse(read_bytes(dir.file("hf/config.json"))).contains("quantization"));
}

TEST(Convert, FourBitAffineIsExactInQ4_1) {
  const TempDir dir;
  ConvertOptions options = to("mlx", kTiny, dir.file("mlx"));
  options.bits = 4;
  options.group = 32;
  convert(options);
  EXPECT_EQ(all_notes(convert(to("gguf", dir.file("mlx"), dir.file("x.gguf")))), "");
  const SourceModel affine(dir.file("mlx"), ""), blocks(dir.file("x.gguf"), "");
  EXPECT_EQ(blocks.tensors()[0].tensor->type, FileType::kQ4_1);
  for (size_t i = 0; i < blocks.tensors().size(); ++i) {
    const SourceTensor &x = affine.tensors()[i], &y = blocks.tensors()[i];
    std::vector<float> v(static_cast<size_t>(x.elements())), w(v.size());
    x.read(0, x.rows(), v.data());
    y.read(0, y.rows(), w.data());
    ASSERT_EQ(v, w) << x.expected.name;
  }
}

TEST(Convert, BadOptions) {
  const TempDir dir;
  const auto refused = [&](const std::string& format, const std::string& words, auto change) {
    ConvertOptions options = to(format, kTiny, dir.file("out"));
    change(options);
    expect_error(ErrorKind::kBadRequest, {words}, [&] { convert(options); });
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  };
  refused("onnx", "onnx", [](auto&) {});
  refused("hf", "belong to mlx", [](auto& o) { o.bits = 4; });
  refused("mlx", "3 bits", [](auto& o) { o.bits = 3; });
  refused("mlx", "groups of 16", [](auto& o) { o.bits = 4, o.group = 16; });
  refused("mlx", "group without bits", [](auto& o) { o.group = 64; });
  refused("hf", "beside a GGUF only", [&](auto& o) { o.mmproj_out = "x"; });
  refused("hf", "bf16 or f32", [](auto& o) { o.type = "q8_0"; });
  refused("gguf", "unknown", [](auto& o) { o.type = "q5_1"; });
  dir.write("config.json", "precious");
  expect_error(ErrorKind::kBadRequest, {dir.path(), "already holds a model"},
               [&] { convert(to("hf", kTiny, dir.path())); });
  EXPECT_EQ(read_bytes(dir.file("config.json")), "precious");
}

}  // namespace
}  // namespace tessera::test
