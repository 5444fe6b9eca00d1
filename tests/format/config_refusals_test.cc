// What a config may not say: out of bounds, of another type, or a feature of a sibling model. Every message
// names file, key, what was found and what was expected.
#include <gtest/gtest.h>

#include <random>

#include "model/config.h"
#include "support/expect_error.h"
#include "support/published_config.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

using nlohmann::json;

void load(const json& config, const json& generation = nullptr, const json& processor = nullptr) {
  const TempDir dir;
  dir.write("config.json", config.dump());
  if (!generation.is_null()) dir.write("generation_config.json", generation.dump());
  if (!processor.is_null()) dir.write("processor_config.json", processor.dump());
  ModelConfig::load(dir.path());
}

struct Change {
  const char* pointer;  // JSON pointer into the published config
  json value;           // discarded: the key is removed
  std::vector<std::string> message;
};

TEST(config_refusals, bounds_types_and_features) {
  const json removed(json::value_t::discarded);
  const std::vector<Change> table = {
      {"/model_type", "gemma4", {"config.json", "model_type is \"gemma4\"", "gemma4_unified"}},
      {"/model_type", removed, {"model_type missing"}},
      {"/text_config", removed, {"text_config missing"}},
      {"/text_config", 3, {"text_config is not a JSON object"}},
      {"/tie_word_embeddings", false, {"tie_word_embeddings is false", "true"}},
      {"/text_config/tie_word_embeddings", false, {"tie_word_embeddings"}},
      // features of siblings
      {"/text_config/enable_moe_block", true, {"text_config.enable_moe_block is true", "mixture of experts"}},
      {"/text_config/hidden_size_per_layer_input",
       256,
       {"hidden_size_per_layer_input is 256", "per-layer embeddings"}},
      {"/text_config/num_kv_shared_layers", 20, {"num_kv_shared_layers is 20", "KV sharing"}},
      {"/text_config/use_double_wide_mlp", true, {"use_double_wide_mlp", "double-wide"}},
      {"/text_config/attention_bias", true, {"attention_bias"}},
      {"/text_config/hidden_activation", "silu", {"hidden_activation is \"silu\"", "gelu_pytorch_tanh"}},
      {"/text_config/use_bidirectional_attention",
       "all",
       {"use_bidirectional_attention is \"all\"", "vision"}},
      {"/text_config/attn_logit_softcapping", 50.0, {"attn_logit_softcapping"}},
      {"/text_config/rope_scaling", {{"factor", 8}}, {"rope_scaling"}},
      // numbers
      {"/text_config/hidden_size", removed, {"hidden_size missing", "1 to 65536"}},
      {"/text_config/hidden_size", nullptr, {"hidden_size is null"}},
      {"/text_config/hidden_size", 0, {"hidden_size is 0"}},
      {"/text_config/hidden_size", -3840, {"hidden_size is -3840"}},
      {"/text_config/hidden_size", 65537, {"hidden_size is 65537"}},
      {"/text_config/hidden_size", 3840.5, {"hidden_size is 3840.5"}},
      {"/text_config/hidden_size", "3840", {"hidden_size is \"3840\""}},
      {"/text_config/hidden_size", uint64_t{18446744073709551615U}, {"hidden_size is 18446744073709551615"}},
      {"/text_config/intermediate_size", {15360}, {"intermediate_size is [15360]"}},
      {"/text_config/num_attention_heads", 0, {"num_attention_heads is 0"}},
      {"/text_config/vocab_size", int64_t{1} << 40, {"vocab_size is 1099511627776"}},
      {"/text_config/num_key_value_heads", 5, {"layer 0 has 5 KV heads", "divisor of the 16"}},
      {"/text_config/num_key_value_heads", 0, {"num_key_value_heads is 0"}},
      {"/text_config/head_dim", 255, {"head_dim 255", "even"}},
      {"/text_config/global_head_dim", 1 << 20, {"global_head_dim"}},
      {"/text_config/sliding_window", 0, {"sliding_window is 0"}},
      {"/text_config/rms_norm_eps", 0, {"rms_norm_eps is 0"}},
      {"/text_config/rms_norm_eps", "1e-6", {"rms_norm_eps is \"1e-6\""}},
      {"/text_config/final_logit_softcapping", -30, {"final_logit_softcapping is -30"}},
      {"/text_config/num_hidden_layers", 47, {"num_hidden_layers is 47", "48 entries"}},
      {"/text_config/layer_types", json::array(), {"layer_types is []"}},
      {"/text_config/layer_types/3", "linear_attention", {"layer_types", "sliding_attention"}},
      {"/text_config/layer_types/3", 4, {"layer_types"}},
      {"/text_config/layer_types", json(1025, "full_attention"), {"1 to 1024"}},
      {"/text_config/per_layer_config", {{"48", {{"head_dim", 2}}}}, {"layer \"48\"", "0 to 47"}},
      {"/text_config/per_layer_config", {{"-1", {{"head_dim", 2}}}}, {"layer \"-1\""}},
      {"/text_config/per_layer_config", {{"99999999999999999999", {{"head_dim", 2}}}}, {"expected 0 to 47"}},
      {"/text_config/per_layer_config", {{"5", json::object()}, {"05", json::object()}}, {"layer 5 twice"}},
      {"/text_config/per_layer_config",
       {{"5", {{"head_dim", "a"}}}},
       {"per_layer_config.5.head_dim is \"a\""}},
      {"/text_config/per_layer_config", {{"5", 7}}, {"per_layer_config.5 is not a JSON object"}},
      // rope
      {"/text_config/rope_parameters/full_attention/rope_type",
       "yarn",
       {"full_attention.rope_type is \"yarn\""}},
      {"/text_config/rope_parameters/full_attention/rope_theta", -1, {"rope_theta is -1"}},
      {"/text_config/rope_parameters/full_attention/partial_rotary_factor",
       1.5,
       {"partial_rotary_factor is 1.5"}},
      {"/text_config/rope_parameters/sliding_attention/partial_rotary_factor",
       0.5,
       {"partial_rotary_factor is 0.5"}},
      {"/text_config/rope_parameters/full_attention/factor", 8, {"factor is 8"}},
      {"/text_config/rope_parameters", 1, {"rope_parameters is not a JSON object"}},
      // vision and audio
      {"/vision_config/patch_size", 14, {"patches of", "48"}},
      {"/vision_config/model_patch_size", 32, {"patches of 32", "48"}},
      {"/vision_config/mm_embed_dim", 0, {"vision_config.mm_embed_dim is 0"}},
      {"/vision_config/mm_posemb_size", -5, {"mm_posemb_size is -5"}},
      {"/audio_config/audio_samples_per_token", 320, {"320 samples per token", "640"}},
      {"/audio_config/audio_embed_dim", 512, {"audio_embed_dim 512", "640"}},
      // ids
      {"/image_token_id", 262144, {"image_token_id is 262144", "0 to 262143"}},
      {"/eoa_token_index", -1, {"eoa_token_index is -1"}},
      {"/boi_token_id", 1.5, {"boi_token_id is 1.5"}},
      {"/text_config/vocab_size", 1024, {"image_token_id is 258880", "0 to 1023"}},
      {"/text_config/eos_token_id", "x", {"eos_token_id is \"x\""}},
      // quantisation
      {"/quantization", {{"mode", "mxfp4"}}, {"quantization.mode is \"mxfp4\"", "affine"}},
      {"/quantization", {{"mode", "nvfp4"}, {"bits", 4}}, {"nvfp4"}},
      {"/quantization", {{"bits", 7}}, {"bits is 7"}},
      {"/quantization", {{"bits", 1}}, {"bits is 1"}},
      {"/quantization", {{"group_size", 48}}, {"group_size is 48"}},
      {"/quantization", {{"a.b", {{"mode", "mxfp8"}}}}, {"quantization.a.b.mode is \"mxfp8\""}},
      {"/quantization_config", {{"quant_method", "compressed-tensors"}}, {"compressed-tensors", "affine"}},
  };
  for (const Change& change : table) {
    SCOPED_TRACE(std::string(change.pointer) + " = " +
                 (change.value.is_discarded() ? "removed" : change.value.dump()));
    json config = published_config();
    const json::json_pointer pointer(change.pointer);
    if (change.value.is_discarded())
      config[pointer.parent_pointer()].erase(pointer.back());
    else
      config[pointer] = change.value;
    std::vector<std::string> message = change.message;
    message.emplace_back("config.json");
    expect_error(ErrorKind::kBadModel, message, [&] { load(config); });
  }
}

TEST(config_refusals, generation_and_processor) {
  const json config = published_config();
  const auto generation = [&](const json& file, const std::string& message) {
    SCOPED_TRACE(file.dump());
    expect_error(ErrorKind::kBadModel, {"generation_config.json", message}, [&] { load(config, file); });
  };
  generation({{"eos_token_id", 262144}}, "eos_token_id is 262144");
  generation({{"eos_token_id", {1, "x"}}}, "eos_token_id");
  generation({{"suppress_tokens", {-1}}}, "suppress_tokens is [-1]");
  generation({{"suppress_tokens", json(2000, 1)}}, "suppress_tokens");
  generation({{"temperature", -1}}, "temperature is -1");
  generation({{"top_p", 1.5}}, "top_p is 1.5");
  generation({{"top_k", -2}}, "top_k is -2");
  generation({{"do_sample", 1}}, "do_sample is 1");
  generation(json::array(), "not a JSON object");
  const auto processor = [&](const json& file, const std::string& message) {
    SCOPED_TRACE(file.dump());
    expect_error(ErrorKind::kBadModel, {"processor_config.json", message},
                 [&] { load(config, nullptr, file); });
  };
  processor({{"image_processor", {{"max_soft_tokens", 100}}}}, "70, 140, 280, 560 or 1120");
  processor({{"video_processor", {{"max_soft_tokens", 71}}}}, "video_processor.max_soft_tokens is 71");
  processor({{"video_processor", {{"num_frames", 0}}}}, "num_frames is 0");
  processor({{"feature_extractor", {{"sampling_rate", 8000}}}}, "sampling_rate is 8000");
  processor({{"feature_extractor", {{"feature_size", 128}}}}, "feature_size is 128");
}

TEST(config_refusals, missing_and_broken_files) {
  const TempDir dir;
  expect_error(ErrorKind::kIo, {"config.json"}, [&] { ModelConfig::load(dir.path()); });
  dir.write("config.json", "");
  expect_error(ErrorKind::kBadModel, {"config.json", "not valid JSON"},
               [&] { ModelConfig::load(dir.path()); });
  dir.write("config.json", "[]");
  expect_error(ErrorKind::kBadModel, {"not a JSON object"}, [&] { ModelConfig::load(dir.path()); });
  dir.write("config.json", R"({"model_type":"gemma4_unified","model_type":"gemma4_unified"})");
  expect_error(ErrorKind::kBadModel, {"model_type", "twice"}, [&] { ModelConfig::load(dir.path()); });
}

/// Every scalar of the small config replaced by every odd value: a config or an Error, nothing else.
TEST(config_refusals, any_odd_value_anywhere_is_an_error_or_a_valid_config) {
  const json small = json::parse(read_bytes(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/config.json"));
  const std::vector<json> odd = {nullptr,
                                 true,
                                 -1,
                                 0,
                                 1,
                                 3,
                                 1e300,
                                 -0.0,
                                 1LL << 62,
                                 uint64_t{1} << 63,
                                 "",
                                 "x",
                                 json::array(),
                                 json::object(),
                                 json::array({json::array()})};
  const TempDir dir;
  int refused = 0, accepted = 0;
  const json flat = small.flatten();
  for (const auto& [pointer, value] : flat.items())
    for (const json& replacement : odd) {
      SCOPED_TRACE(pointer + " = " + replacement.dump());
      json changed = small;
      changed[json::json_pointer(pointer)] = replacement;
      dir.write("config.json", changed.dump());
      try {
        const ModelConfig c = ModelConfig::load(dir.path());
        ++accepted;
        ASSERT_GT(c.hidden, 0);
        ASSERT_FALSE(c.layers.empty());
        for (const LayerConfig& layer : c.layers) {
          ASSERT_EQ(layer.head_dim % 2, 0);
          ASSERT_EQ(c.q_heads % layer.kv_heads, 0);
        }
        ASSERT_LT(c.image_token, c.vocab);
      } catch (const Error& e) {
        ++refused;
        ASSERT_EQ(e.kind(), ErrorKind::kBadModel) << e.what();
      }
    }
  EXPECT_GT(refused, 400);
  EXPECT_GT(accepted, 400);
}

}  // namespace
}  // namespace tessera
