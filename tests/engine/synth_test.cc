// Synthetic checkpoints: the values of docs/spec/synthetic.md, and the small checkpoint, which was made by the
// same law.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/synth_files.h"
#include "engine/synth_values.h"
#include "format/tensor_file.h"
#include "model/config.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "text/tokenizer.h"

namespace tessera {
namespace {

const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

TEST(synth_values, seeds) {
  EXPECT_EQ(synth_seed(""), 0xcbf29ce484222325U);
  EXPECT_EQ(synth_seed("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(synth_seed("model.embed_audio.embedding_projection.weight"), 0xea21d15283d7b3c1U);
}

struct Known {
  const char* name;
  int64_t last_dimension;
  int layers;
  std::vector<int64_t> index;
  std::vector<uint16_t> bf16;  // from the reference's formula
};

std::vector<Known> known_values() {
  return {
      {"model.language_model.layers.7.mlp.up_proj.weight",
       3840,
       48,
       {0, 1, 29491200, 58982399},
       {0xbcd3, 0xba2e, 0xbb22, 0xbbd2}},
      {"model.language_model.embed_tokens.weight",
       3840,
       6,
       {0, 1, 503316480, 1006632959},
       {0xbce3, 0x3ce1, 0x3c17, 0x3835}},
      {"model.language_model.layers.5.layer_scalar", 1, 6, {0}, {0x3f14}},
      {"model.language_model.layers.0.post_attention_layernorm.weight",
       3840,
       48,
       {0, 1, 1920, 3839},
       {0x3e9e, 0x3e5d, 0x3e94, 0x3ea1}},
      {"model.language_model.norm.weight", 3840, 48, {0, 1, 1920, 3839}, {0x4036, 0x4042, 0x4068, 0x401e}},
      {"model.language_model.layers.3.self_attn.q_norm.weight",
       256,
       6,
       {0, 1, 128, 255},
       {0x3ed2, 0x3eb2, 0x3e8e, 0x3ed8}},
      {"model.language_model.layers.3.input_layernorm.weight",
       3840,
       6,
       {0, 1, 1920, 3839},
       {0x3f8b, 0x3f8e, 0x3f95, 0x3f80}},
      {"model.vision_embedder.patch_ln1.weight",
       6912,
       6,
       {0, 1, 3456, 6911},
       {0x3f4e, 0x3f84, 0x3f41, 0x3f92}},
      {"model.vision_embedder.patch_dense.bias",
       3840,
       6,
       {0, 1, 1920, 3839},
       {0xbcbc, 0xbdb9, 0xbdbf, 0x3d76}},
      {"model.vision_embedder.pos_embedding",
       3840,
       6,
       {0, 1, 4300800, 8601599},
       {0xbd9b, 0x3e4f, 0x3eba, 0x3be8}},
      {"model.vision_embedder.pos_norm.weight",
       3840,
       6,
       {0, 1, 1920, 3839},
       {0x3f6b, 0x3f89, 0x3f47, 0x3f47}},
  };
}

TEST(synth_values, known_values_of_every_law) {
  for (const Known& k : known_values())
    for (size_t i = 0; i < k.index.size(); ++i) {
      uint16_t value = 0;
      synth_values(synth_seed(k.name), synth_law(k.name, k.last_dimension, k.layers), k.index[i],
                   {&value, 1});
      EXPECT_EQ(value, k.bf16[i]) << k.name << " [" << k.index[i] << "]";
    }
}

TEST(synth_values, do_not_depend_on_how_they_are_cut) {
  const SynthLaw law = synth_law("x.weight", 64, 12);
  const uint64_t seed = synth_seed("x.weight");
  std::vector<uint16_t> whole(1000);
  synth_values(seed, law, 0, whole);
  for (const size_t cut : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{500}, size_t{999}}) {
    std::vector<uint16_t> parts(1000);
    synth_values(seed, law, 0, std::span(parts).first(cut));
    synth_values(seed, law, static_cast<int64_t>(cut), std::span(parts).subspan(cut));
    EXPECT_EQ(parts, whole) << "cut at " << cut;
  }
}

void expect_equal_tensors(const TensorStore& a, const TensorStore& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const auto& [name, tensor] : a.tensors()) {
    const FileTensor* other = b.find(name);
    ASSERT_NE(other, nullptr) << name;
    ASSERT_EQ(other->type, tensor.type) << name;
    ASSERT_EQ(other->shape, tensor.shape) << name;
    ASSERT_TRUE(
        std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin(), other->bytes.end()))
        << name;
  }
}

TEST(synthesize, reproduces_the_small_checkpoint_with_any_number_of_threads) {
  const TensorStore fixture = TensorStore::open_directory(kTiny);
  ASSERT_EQ(fixture.tensors().size(), 179U);
  for (const int threads : {1, 3}) {
    const TempDir dir;
    double last = 0;
    SynthOptions options;
    options.directory = dir.file("new/model");
    options.layers = 12;
    options.tiny = true;
    options.threads = threads;
    options.on_progress = [&](double fraction) {
      EXPECT_GE(fraction, last);
      last = fraction;
    };
    synthesize(options);
    EXPECT_EQ(last, 1.0);
    expect_equal_tensors(fixture, TensorStore::open_directory(options.directory));

    const ModelConfig made = ModelConfig::load(options.directory), given = ModelConfig::load(kTiny);
    EXPECT_EQ(made.layers.size(), given.layers.size());
    EXPECT_EQ(made.window, given.window);
    EXPECT_EQ(made.image_token, given.image_token);
    EXPECT_EQ(made.audio_end, given.audio_end);
    EXPECT_EQ(made.end_tokens, given.end_tokens);
    EXPECT_TRUE(made.suppressed_tokens.empty()) << "the goldens of synthetic checkpoints suppress nothing";
  }
}

TEST(synthesize, refuses_to_write_over_a_checkpoint) {
  const TempDir dir;
  dir.write("model.safetensors", "precious");
  SynthOptions options;
  options.directory = dir.path();
  options.tiny = true;
  options.layers = 1;
  expect_error(ErrorKind::kBadRequest, {dir.path(), "model.safetensors", "already holds a checkpoint"},
               [&] { synthesize(options); });
  EXPECT_EQ(read_bytes(dir.file("model.safetensors")), "precious");
  EXPECT_FALSE(std::filesystem::exists(dir.file("config.json")));
}

TEST(synthesize, bad_options) {
  const TempDir dir;
  const auto refused = [&](const std::string& directory, int layers, int threads, ErrorKind kind,
                           const std::string& message) {
    SynthOptions options;
    options.directory = directory;
    options.layers = layers;
    options.threads = threads;
    options.tiny = true;
    expect_error(kind, {message}, [&] { synthesize(options); });
  };
  refused("", 1, 1, ErrorKind::kBadRequest, "no directory");
  refused(dir.path(), 0, 1, ErrorKind::kBadRequest, "0 layers");
  refused(dir.path(), 1025, 1, ErrorKind::kBadRequest, "1025 layers");
  refused(dir.path(), 1, -1, ErrorKind::kBadRequest, "-1 threads");
  refused(dir.write("file", "x"), 1, 1, ErrorKind::kIo, "cannot create the directory");
}

TEST(synth_files, the_12b_config_loads_with_the_published_values) {
  const TempDir dir;
  dir.write("config.json", synth_config_json(false, 48));
  dir.write("generation_config.json", synth_generation_json(false));
  dir.write("processor_config.json", synth_processor_json());
  const ModelConfig c = ModelConfig::load(dir.path());
  EXPECT_EQ(c.hidden, 3840);
  EXPECT_EQ(c.layers.size(), 48U);
  EXPECT_EQ(c.layers[5].head_dim, 512);
  EXPECT_TRUE(c.layers[5].v_is_k);
  EXPECT_EQ(c.video_token, 258884);
  EXPECT_EQ(c.end_tokens, (std::vector<int32_t>{1, 106, 50}));
  EXPECT_TRUE(c.suppressed_tokens.empty());
  EXPECT_EQ(c.image_budget, 280);
  EXPECT_EQ(c.video_budget, 70);
}

TEST(synth_files, the_stand_in_tokenizer_covers_every_text) {
  for (const bool tiny : {true, false}) {
    SCOPED_TRACE(tiny ? "small" : "12B");
    const std::string json = synth_tokenizer_json(tiny);
    EXPECT_LT(json.size(), 8U << 20);
    const Tokenizer tokenizer = Tokenizer::from_json(json, "synth");
    EXPECT_EQ(tokenizer.vocab_size(), tiny ? 1024 : 262144);
    EXPECT_EQ(tokenizer.control_tokens().size(), 24U);
    for (const std::string text :
         {"Hello, world 0123456789!\n\n\ta  b   c", "<|turn>user\n<|image|>", "🦙 ä €", ""})
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(synth_files, the_12b_stand_in_has_the_published_ids) {
  const Tokenizer tokenizer = Tokenizer::from_json(synth_tokenizer_json(false), "synth");
  EXPECT_EQ(tokenizer.encode("<bos><|turn>user\n<|image><|image|><image|><turn|>\n<|turn>model\n"),
            (std::vector<int32_t>{2, 105, 2364, 107, 255999, 258880, 258882, 106, 107, 105, 4368, 107}));
  EXPECT_EQ(tokenizer.encode("🦙"), (std::vector<int32_t>{478, 397, 404, 391}));
  EXPECT_EQ(tokenizer.encode(" 17"), (std::vector<int32_t>{236743, 236770, 236832}));
  for (int n = 2; n <= 31; ++n) {
    EXPECT_EQ(tokenizer.encode(std::string(static_cast<size_t>(n), '\n')), std::vector<int32_t>{106 + n})
        << n;
    EXPECT_EQ(tokenizer.encode(std::string(static_cast<size_t>(n), ' ')), std::vector<int32_t>{136 + n}) << n;
  }
}

}  // namespace
}  // namespace tessera
