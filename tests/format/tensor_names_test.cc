// Every spelling of a tensor name leads to the published one.
#include <gtest/gtest.h>

#include <set>

#include "format/safetensors.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

TEST(canonical_name, all_spellings) {
  const std::pair<const char*, const char*> table[] = {
      // published
      {"model.language_model.layers.7.mlp.up_proj.weight",
       "model.language_model.layers.7.mlp.up_proj.weight"},
      {"model.language_model.layers.0.layer_scalar", "model.language_model.layers.0.layer_scalar"},
      {"model.language_model.norm.weight", "model.language_model.norm.weight"},
      {"model.vision_embedder.pos_embedding", "model.vision_embedder.pos_embedding"},
      {"model.embed_vision.embedding_projection.weight", "model.embed_vision.embedding_projection.weight"},
      {"model.embed_audio.embedding_projection.weight", "model.embed_audio.embedding_projection.weight"},
      // without the leading "model."
      {"language_model.layers.7.mlp.up_proj.weight", "model.language_model.layers.7.mlp.up_proj.weight"},
      {"vision_embedder.patch_dense.bias", "model.vision_embedder.patch_dense.bias"},
      {"embed_audio.embedding_projection.weight", "model.embed_audio.embedding_projection.weight"},
      // MLX
      {"language_model.model.embed_tokens.weight", "model.language_model.embed_tokens.weight"},
      {"language_model.model.layers.47.self_attn.q_proj.weight",
       "model.language_model.layers.47.self_attn.q_proj.weight"},
      {"language_model.model.layers.0.layer_scalar", "model.language_model.layers.0.layer_scalar"},
      {"language_model.model.layers.0.mlp.up_proj.scales",
       "model.language_model.layers.0.mlp.up_proj.scales"},
      {"language_model.model.layers.0.mlp.up_proj.biases",
       "model.language_model.layers.0.mlp.up_proj.biases"},
      {"vision_embedder.patch_dense.scales", "model.vision_embedder.patch_dense.scales"},
      {"embed_vision.embedding_projection.biases", "model.embed_vision.embedding_projection.biases"},
      {"model.language_model.model.norm.weight", "model.language_model.norm.weight"},
      // text only
      {"model.layers.3.input_layernorm.weight", "model.language_model.layers.3.input_layernorm.weight"},
      {"model.embed_tokens.weight", "model.language_model.embed_tokens.weight"},
      {"model.norm.weight", "model.language_model.norm.weight"},
      {"layers.3.layer_scalar", "model.language_model.layers.3.layer_scalar"},
      {"norm.weight", "model.language_model.norm.weight"},
      // transformers' modules in memory
      {"model.embed_vision.patch_ln1.weight", "model.vision_embedder.patch_ln1.weight"},
      {"model.embed_vision.patch_ln2.bias", "model.vision_embedder.patch_ln2.bias"},
      {"model.embed_vision.patch_dense.weight", "model.vision_embedder.patch_dense.weight"},
      {"model.embed_vision.pos_embedding", "model.vision_embedder.pos_embedding"},
      {"model.embed_vision.pos_norm.weight", "model.vision_embedder.pos_norm.weight"},
      {"model.embed_vision.multimodal_embedder.embedding_projection.weight",
       "model.embed_vision.embedding_projection.weight"},
      {"embed_audio.multimodal_embedder.embedding_projection.weight",
       "model.embed_audio.embedding_projection.weight"},
      // ignored: copies of the embedding
      {"lm_head.weight", ""},
      {"model.lm_head.weight", ""},
      {"language_model.lm_head.weight", ""},
      {"lm_head.scales", ""},
      // of no known module
      {"text/logits", "text/logits"},
      {"model.other.weight", "model.other.weight"},
      {"normalise.weight", "normalise.weight"},
      {"", ""},
  };
  for (const auto& [spelling, canonical] : table) EXPECT_EQ(canonical_name(spelling), canonical) << spelling;
}

TEST(canonical_name, is_a_fixed_point_on_every_name_of_the_small_checkpoint) {
  const std::string file = read_bytes(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/model.safetensors");
  const auto header = parse_safetensors({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "tiny");
  std::set<std::string> names;
  for (const SafetensorsEntry& entry : header.entries) {
    const std::string canonical = canonical_name(entry.tensor.name);
    EXPECT_EQ(canonical, entry.tensor.name);
    EXPECT_EQ(canonical_name(canonical), canonical);
    EXPECT_TRUE(names.insert(canonical).second) << canonical;
  }
  EXPECT_EQ(names.size(), 179U);
}

}  // namespace
}  // namespace tessera
