// The tensor list of a geometry: parameter arithmetic of the published model, and the small checkpoint's own
// list.
#include "model/names.h"

#include <gtest/gtest.h>

#include <map>

#include "format/tensor_file.h"
#include "support/published_config.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

ModelConfig load(const nlohmann::json& config) {
  const TempDir dir;
  dir.write("config.json", config.dump());
  return ModelConfig::load(dir.path());
}

int64_t parameters(const ExpectedTensor& tensor) {
  int64_t n = 1;
  for (const int64_t size : tensor.shape) n *= size;
  return n;
}

TEST(expected_tensors, parameters_of_the_12b) {
  const auto tensors = expected_tensors(load(published_config()));
  EXPECT_EQ(tensors.size(), 677U);
  std::map<TensorBlock, int64_t> block;
  std::map<int, int64_t> layer;
  int64_t total = 0;
  for (const ExpectedTensor& t : tensors) {
    block[t.block] += parameters(t);
    if (t.layer >= 0) layer[t.layer] += parameters(t);
    total += parameters(t);
  }
  EXPECT_EQ(block[TensorBlock::kEmbedding], 1'006'632'960);
  EXPECT_EQ(layer[0], 224'148'993) << "a sliding layer";
  EXPECT_EQ(layer[5], 241'844'225) << "a full layer";
  EXPECT_EQ(block[TensorBlock::kEmbedding] + block[TensorBlock::kLayer] + block[TensorBlock::kFinalNorm],
            11'907'350'320);
  EXPECT_EQ(block[TensorBlock::kVision], 35'176'704);
  EXPECT_EQ(block[TensorBlock::kVision] + block[TensorBlock::kVisionProjection], 49'922'304);
  EXPECT_EQ(block[TensorBlock::kAudioProjection], 2'457'600);
  EXPECT_EQ(total, 11'959'730'224);
}

TEST(expected_tensors, names_are_canonical_and_unique) {
  std::map<std::string, int> seen;
  for (const ExpectedTensor& t : expected_tensors(load(published_config()))) {
    EXPECT_EQ(canonical_name(t.name), t.name);
    EXPECT_EQ(++seen[t.name], 1) << t.name;
    EXPECT_EQ(t.optional, t.name.ends_with("v_proj.weight")) << t.name;
  }
}

TEST(expected_tensors, are_exactly_those_of_the_small_checkpoint) {
  const std::string tiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";
  const TensorStore store = TensorStore::open_directory(tiny);
  const auto tensors = expected_tensors(ModelConfig::load(tiny));
  EXPECT_EQ(tensors.size(), store.tensors().size());
  for (const ExpectedTensor& t : tensors) {
    const FileTensor* found = store.find(t.name);
    ASSERT_NE(found, nullptr) << t.name;
    EXPECT_EQ(found->shape, t.shape) << t.name;
  }
}

TEST(expected_tensors, full_layers_with_their_own_v_and_models_without_media) {
  auto json = published_config(6);
  json["text_config"]["attention_k_eq_v"] = false;
  json["vision_config"] = nullptr;
  const auto tensors = expected_tensors(load(json));
  bool v_of_full = false;
  for (const ExpectedTensor& t : tensors) {
    EXPECT_NE(t.block, TensorBlock::kVision) << t.name;
    EXPECT_NE(t.block, TensorBlock::kVisionProjection) << t.name;
    if (t.name == "model.language_model.layers.5.self_attn.v_proj.weight") {
      v_of_full = true;
      EXPECT_EQ(t.shape, (std::vector<int64_t>{512, 3840}));
    }
  }
  EXPECT_TRUE(v_of_full);
  EXPECT_EQ(tensors.back().name, "model.embed_audio.embedding_projection.weight");
}

}  // namespace
}  // namespace tessera
