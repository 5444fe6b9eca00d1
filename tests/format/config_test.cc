// config.json, generation_config.json, processor_config.json: both spellings, what may be left out, the
// optional files.
#include "model/config.h"

#include <gtest/gtest.h>

#include "support/published_config.h"
#include "support/temp_dir.h"
#include "tessera/tessera.h"

namespace tessera {
namespace {

using nlohmann::json;

const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny/";

/// Loads a directory of these files; null: no such file.
ModelConfig load(const json& config, const json& generation = nullptr, const json& processor = nullptr) {
  const TempDir dir;
  dir.write("config.json", config.dump());
  if (!generation.is_null()) dir.write("generation_config.json", generation.dump());
  if (!processor.is_null()) dir.write("processor_config.json", processor.dump());
  return ModelConfig::load(dir.path());
}

void expect_same_geometry(const ModelConfig& a, const ModelConfig& b) {
  EXPECT_EQ(a.hidden, b.hidden);
  EXPECT_EQ(a.intermediate, b.intermediate);
  EXPECT_EQ(a.q_heads, b.q_heads);
  EXPECT_EQ(a.vocab, b.vocab);
  EXPECT_EQ(a.max_context, b.max_context);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ(a.rms_eps, b.rms_eps);
  EXPECT_EQ(a.logit_softcap, b.logit_softcap);
  EXPECT_EQ(a.embed_scale, b.embed_scale);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (size_t i = 0; i < a.layers.size(); ++i) {
    EXPECT_EQ(a.layers[i].sliding, b.layers[i].sliding) << i;
    EXPECT_EQ(a.layers[i].kv_heads, b.layers[i].kv_heads) << i;
    EXPECT_EQ(a.layers[i].head_dim, b.layers[i].head_dim) << i;
    EXPECT_EQ(a.layers[i].v_is_k, b.layers[i].v_is_k) << i;
  }
  EXPECT_EQ(a.rope_sliding.theta, b.rope_sliding.theta);
  EXPECT_EQ(a.rope_sliding.rotary_fraction, b.rope_sliding.rotary_fraction);
  EXPECT_EQ(a.rope_full.theta, b.rope_full.theta);
  EXPECT_EQ(a.rope_full.rotary_fraction, b.rope_full.rotary_fraction);
  EXPECT_EQ(a.patch, b.patch);
  EXPECT_EQ(a.mm_embed, b.mm_embed);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.audio_samples_per_token, b.audio_samples_per_token);
  EXPECT_EQ(a.image_token, b.image_token);
  EXPECT_EQ(a.audio_end, b.audio_end);
  EXPECT_EQ(a.end_tokens, b.end_tokens);
  EXPECT_EQ(a.suppressed_tokens, b.suppressed_tokens);
}

TEST(config, the_published_12b) {
  const ModelConfig c = load(published_config(), published_generation());
  EXPECT_EQ(c.hidden, 3840);
  EXPECT_EQ(c.intermediate, 15360);
  EXPECT_EQ(c.q_heads, 16);
  EXPECT_EQ(c.vocab, 262144);
  EXPECT_EQ(c.max_context, 262144);
  EXPECT_EQ(c.window, 1024);
  EXPECT_EQ(c.rms_eps, 1e-6F);
  EXPECT_EQ(c.logit_softcap, 30.0F);
  EXPECT_EQ(c.embed_scale, 62.0F) << "sqrt(3840) = 61.96773 rounded to bfloat16";
  ASSERT_EQ(c.layers.size(), 48U);
  for (size_t i = 0; i < 48; ++i) {
    const bool full = i % 6 == 5;
    EXPECT_EQ(c.layers[i].sliding, !full) << i;
    EXPECT_EQ(c.layers[i].head_dim, full ? 512 : 256) << i;
    EXPECT_EQ(c.layers[i].kv_heads, full ? 1 : 8) << i;
    EXPECT_EQ(c.layers[i].v_is_k, full) << i;
  }
  EXPECT_EQ(c.rope_sliding.theta, 10000.0);
  EXPECT_EQ(c.rope_sliding.rotary_fraction, 1.0);
  EXPECT_EQ(c.rope_full.theta, 1000000.0);
  EXPECT_EQ(c.rope_full.rotary_fraction, 0.25);
  EXPECT_EQ(c.patch, 48);
  EXPECT_EQ(c.mm_embed, 3840);
  EXPECT_EQ(c.positions, 1120);
  EXPECT_EQ(c.audio_samples_per_token, 640);
  EXPECT_EQ(c.image_token, 258880);
  EXPECT_EQ(c.audio_token, 258881);
  EXPECT_EQ(c.video_token, 258884);
  EXPECT_EQ(c.image_begin, 255999);
  EXPECT_EQ(c.image_end, 258882);
  EXPECT_EQ(c.audio_begin, 256000);
  EXPECT_EQ(c.audio_end, 258883);
  EXPECT_EQ(c.end_tokens, (std::vector<int32_t>{1, 106, 50}));
  EXPECT_EQ(c.suppressed_tokens, (std::vector<int32_t>{258883, 258882}));
}

TEST(config, embed_scale_is_rounded_to_bfloat16) {
  auto config = published_config();
  for (const auto& [hidden, scale] : {std::pair{96, 9.8125F}, {64, 8.0F}, {3840, 62.0F}, {2560, 50.5F}}) {
    config["text_config"]["hidden_size"] = hidden;
    EXPECT_EQ(load(config).embed_scale, scale) << hidden;
  }
}

TEST(config, both_spellings_of_the_small_checkpoint_are_equal) {
  const json published = json::parse(read_bytes(kTiny + "config.json"));
  const json per_layer = json::parse(read_bytes(kTiny + "config.per_layer.json"));
  ASSERT_TRUE(per_layer["text_config"].contains("per_layer_config"));
  ASSERT_FALSE(per_layer["text_config"].contains("global_head_dim"));
  const json generation = json::parse(read_bytes(kTiny + "generation_config.json"));
  const ModelConfig a = load(published, generation), b = load(per_layer, generation);
  expect_same_geometry(a, b);
  EXPECT_EQ(a.layers[5].head_dim, 32);
  EXPECT_EQ(a.layers[5].kv_heads, 1);
  EXPECT_EQ(a.layers[4].head_dim, 16);
  EXPECT_EQ(a.end_tokens, (std::vector<int32_t>{1, 16}));
  EXPECT_EQ(a.suppressed_tokens, (std::vector<int32_t>{18, 21}));
}

TEST(config, per_layer_entries_win_and_fall_back_to_the_plain_values) {
  auto config = published_config(12);
  auto& text = config["text_config"];
  text["per_layer_config"] = {{"05", {{"head_dim", 128}, {"num_key_value_heads", nullptr}}},
                              {"2", {{"num_key_value_heads", 4}}},
                              {"0011", {{"head_dim", 64}, {"num_key_value_heads", 2}}},
                              {"3", nullptr}};
  const ModelConfig c = load(config);
  EXPECT_EQ(c.layers[5].head_dim, 128);
  EXPECT_EQ(c.layers[5].kv_heads, 8) << "null falls back to num_key_value_heads, not to the global pair";
  EXPECT_EQ(c.layers[2].kv_heads, 4);
  EXPECT_EQ(c.layers[2].head_dim, 256);
  EXPECT_EQ(c.layers[11].head_dim, 64);
  EXPECT_EQ(c.layers[11].kv_heads, 2);
  EXPECT_EQ(c.layers[3].head_dim, 256);
  EXPECT_EQ(c.layers[0].kv_heads, 8);
}

TEST(config, a_global_pair_with_holes_falls_back_to_the_plain_pair) {
  auto config = published_config(6);
  config["text_config"]["global_head_dim"] = nullptr;
  config["text_config"].erase("num_global_key_value_heads");
  const ModelConfig c = load(config);
  EXPECT_EQ(c.layers[5].head_dim, 256);
  EXPECT_EQ(c.layers[5].kv_heads, 8);
}

TEST(config, keys_that_can_be_derived_may_be_absent) {
  auto config = published_config();
  auto& text = config["text_config"];
  for (const char* key :
       {"layer_types", "rope_parameters", "rms_norm_eps", "max_position_embeddings", "sliding_window",
        "hidden_activation", "use_bidirectional_attention", "enable_moe_block", "attention_k_eq_v",
        "num_kv_shared_layers", "hidden_size_per_layer_input", "use_double_wide_mlp", "attention_bias",
        "tie_word_embeddings", "head_dim", "num_key_value_heads"})
    text.erase(key);
  config["vision_config"] = json::object();
  config["audio_config"] = json::object();
  for (const char* key : {"image_token_id", "audio_token_id", "video_token_id", "boi_token_id",
                          "eoi_token_id", "boa_token_id", "eoa_token_index"})
    config.erase(key);
  expect_same_geometry(load(config), load(published_config()));
  config["audio_config"] = {{"audio_embed_dim", 640}};
  config["vision_config"] = {{"patch_size", 16}, {"pooling_kernel_size", 3}, {"mm_embed_dim", 2048}};
  EXPECT_EQ(load(config).mm_embed, 2048) << "may differ from hidden_size";
}

TEST(config, eoa_token_id_is_accepted_beside_the_published_index) {
  auto config = published_config();
  config.erase("eoa_token_index");
  config["eoa_token_id"] = 77;
  EXPECT_EQ(load(config).audio_end, 77);
}

TEST(config, rope_layouts) {
  auto config = published_config();
  auto& text = config["text_config"];
  text["rope_parameters"] = {{"full_attention", {{"rope_theta", 5e5}}}};  // the rest as published
  ModelConfig c = load(config);
  EXPECT_EQ(c.rope_full.theta, 5e5);
  EXPECT_EQ(c.rope_full.rotary_fraction, 0.25);
  EXPECT_EQ(c.rope_sliding.theta, 1e4);
  text["rope_parameters"] = {
      {"rope_type", "proportional"}, {"rope_theta", 2e6}, {"partial_rotary_factor", 0.5}};
  c = load(config);
  EXPECT_EQ(c.rope_full.theta, 2e6);
  EXPECT_EQ(c.rope_full.rotary_fraction, 0.5);
  EXPECT_EQ(c.rope_sliding.theta, 1e4);
  EXPECT_EQ(c.rope_sliding.rotary_fraction, 1.0);
  text["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}}};
  EXPECT_EQ(load(config).rope_full.rotary_fraction, 1.0);
  text.erase("rope_parameters");
  text["rope_theta"] = 3e6;
  text["rope_local_base_freq"] = 2e4;
  c = load(config);
  EXPECT_EQ(c.rope_full.theta, 3e6);
  EXPECT_EQ(c.rope_sliding.theta, 2e4);
}

TEST(config, sibling_geometries) {
  auto config = published_config();
  auto& text = config["text_config"];
  text["final_logit_softcapping"] = nullptr;
  EXPECT_EQ(load(config).logit_softcap, 0.0F);
  text.erase("final_logit_softcapping");
  EXPECT_EQ(load(config).logit_softcap, 0.0F);
  text["attention_k_eq_v"] = false;
  text["num_global_key_value_heads"] = 4;
  ModelConfig c = load(config);
  EXPECT_FALSE(c.layers[5].v_is_k);
  EXPECT_EQ(c.layers[5].kv_heads, 4);
  text["layer_types"] = {"full_attention", "sliding_attention"};
  text["num_hidden_layers"] = 2;
  c = load(config);
  ASSERT_EQ(c.layers.size(), 2U);
  EXPECT_FALSE(c.layers[0].sliding);
  EXPECT_TRUE(c.layers[1].sliding);
}

TEST(config, text_only_checkpoints_have_no_media_paths) {
  auto config = published_config();
  config["vision_config"] = nullptr;
  config.erase("audio_config");
  ModelConfig c = load(config);
  EXPECT_EQ(c.mm_embed, 0);
  EXPECT_EQ(c.audio_samples_per_token, 0);
  EXPECT_EQ(c.image_token, -1);
  EXPECT_EQ(c.audio_end, -1);
  EXPECT_TRUE(c.suppressed_tokens.empty());
  c = load(published_config()["text_config"]);  // Gemma4UnifiedForCausalLM: everything at the top
  EXPECT_EQ(c.hidden, 3840);
  EXPECT_EQ(c.layers.size(), 48U);
  EXPECT_EQ(c.mm_embed, 0);
  EXPECT_EQ(c.end_tokens, std::vector<int32_t>{1});
}

TEST(config, end_and_suppressed_tokens) {
  const auto config = published_config();
  EXPECT_EQ(load(config, {{"eos_token_id", 106}}).end_tokens, std::vector<int32_t>{106});
  EXPECT_EQ(load(config).end_tokens, std::vector<int32_t>{1}) << "no file: text_config.eos_token_id";
  auto with_list = config;
  with_list["eos_token_id"] = {1, 106};
  EXPECT_EQ(load(with_list).end_tokens, (std::vector<int32_t>{1, 106}));
  const std::vector<int32_t> markers = {258882, 258883};
  EXPECT_EQ(load(config).suppressed_tokens, markers) << "no file";
  EXPECT_EQ(load(config, {{"eos_token_id", 1}}).suppressed_tokens, markers) << "file older than the key";
  EXPECT_EQ(load(config, {{"suppress_tokens", nullptr}}).suppressed_tokens, markers);
  EXPECT_TRUE(load(config, {{"suppress_tokens", json::array()}}).suppressed_tokens.empty())
      << "an explicit none";
  EXPECT_EQ(load(config, {{"suppress_tokens", {5}}}).suppressed_tokens, std::vector<int32_t>{5});
}

TEST(config, sampling_defaults) {
  const auto config = published_config();
  ModelConfig c = load(config);
  EXPECT_EQ(c.temperature, 1.0F);
  EXPECT_EQ(c.top_k, 64);
  EXPECT_EQ(c.top_p, 0.95F);
  c = load(config,
           {{"temperature", 0.5}, {"top_k", 0}, {"top_p", 1}, {"bos_token_id", 7}, {"pad_token_id", 9}});
  EXPECT_EQ(c.temperature, 0.5F);
  EXPECT_EQ(c.top_k, 0);
  EXPECT_EQ(c.top_p, 1.0F);
  EXPECT_EQ(c.bos, 7);
  EXPECT_EQ(c.pad, 9);
  EXPECT_EQ(load(config, {{"do_sample", false}}).temperature, 0.0F);
}

TEST(config, processor_layouts) {
  const auto config = published_config();
  ModelConfig c = load(config);
  EXPECT_EQ(c.image_budget, 280);
  EXPECT_EQ(c.video_budget, 70);
  EXPECT_EQ(c.video_frames, 32);
  EXPECT_EQ(c.audio_hz, 16000);
  c = load(config, nullptr,
           {{"image_processor", {{"max_soft_tokens", 560}, {"model_patch_size", 48}}},
            {"video_processor", {{"max_soft_tokens", 140}, {"num_frames", 16}}},
            {"image_seq_length", 280}});
  EXPECT_EQ(c.image_budget, 560);
  EXPECT_EQ(c.video_budget, 140);
  EXPECT_EQ(c.video_frames, 16);
  EXPECT_EQ(load(config, nullptr, {{"max_soft_tokens", 1120}}).image_budget, 1120);
  EXPECT_EQ(load(config, nullptr, {{"image_seq_length", 140}}).image_budget, 140);
  EXPECT_EQ(load(config, nullptr, json::parse(read_bytes(kTiny + "processor_config.json"))).image_budget,
            280);
}

TEST(config, mlx_quantisation) {
  auto config = published_config();
  config["quantization"] = {{"group_size", 32},
                            {"bits", 4},
                            {"mode", "affine"},
                            {"linear_class", "x"},
                            {"language_model.model.layers.0.mlp.up_proj", {{"bits", 8}, {"group_size", 64}}},
                            {"language_model.model.layers.1.mlp.up_proj", {{"bits", 6}}},
                            {"vision_embedder.patch_dense", false}};
  EXPECT_EQ(load(config).hidden, 3840);
  auto bad = config;
  bad["quantization"]["language_model.model.layers.1.mlp.up_proj"]["bits"] = 7;
  EXPECT_THROW(load(bad), Error);
  bad = config;
  bad["quantization"]["group_size"] = 48;
  EXPECT_THROW(load(bad), Error);
  config.erase("quantization");
  config["quantization_config"] = json::object();
  EXPECT_EQ(load(config).hidden, 3840) << "affine's own defaults";
}

}  // namespace
}  // namespace tessera
