// A GGUF model opened: config, tensors, split files, mmproj; and what is refused with which words.
#include "support/gguf_model.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "format/affine.h"
#include "format/gguf.h"
#include "model/config.h"
#include "model/names.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

using test::GgufBytes;

const test::GgufPair& tiny() {
  static const test::GgufPair pair = test::tiny_gguf();
  return pair;
}

class GgufModel : public testing::Test {
 protected:
  std::string model(const GgufBytes& f) { return dir_.write("model.gguf", f.bytes()); }
  std::string mmproj(const GgufBytes& f) { return dir_.write("other.gguf", f.bytes()); }
  void refused(const GgufBytes& f, const std::vector<std::string>& words, const std::string& media = "") {
    const std::string path = model(f);
    expect_error(ErrorKind::kBadModel, words,
                 [&] { ModelConfig::load_gguf(TensorStore::open_gguf(path, media)); });
  }
  TempDir dir_;
};

TEST_F(GgufModel, TheConfigOfTheDirectory) {
  const std::string path = model(tiny().model), media = mmproj(tiny().mmproj);
  const TensorStore store = TensorStore::open_gguf(path, media);
  const ModelConfig found = ModelConfig::load_gguf(store);
  const ModelConfig wanted = ModelConfig::load(TESSERA_SOURCE_DIR "/tests/fixtures/tiny");
  EXPECT_EQ(found.path, path);
  EXPECT_EQ(found.hidden, wanted.hidden);
  EXPECT_EQ(found.intermediate, wanted.intermediate);
  EXPECT_EQ(found.q_heads, wanted.q_heads);
  EXPECT_EQ(found.vocab, wanted.vocab);
  EXPECT_EQ(found.max_context, wanted.max_context);
  EXPECT_EQ(found.window, wanted.window);
  EXPECT_EQ(found.rms_eps, wanted.rms_eps);
  EXPECT_EQ(found.logit_softcap, wanted.logit_softcap);
  EXPECT_EQ(found.embed_scale, wanted.embed_scale);
  ASSERT_EQ(found.layers.size(), wanted.layers.size());
  for (size_t i = 0; i < found.layers.size(); ++i) {
    EXPECT_EQ(found.layers[i].sliding, wanted.layers[i].sliding);
    EXPECT_EQ(found.layers[i].kv_heads, wanted.layers[i].kv_heads);
    EXPECT_EQ(found.layers[i].head_dim, wanted.layers[i].head_dim);
    EXPECT_EQ(found.layers[i].v_is_k, wanted.layers[i].v_is_k);
  }
  EXPECT_EQ(found.rope_full.theta, wanted.rope_full.theta);
  EXPECT_EQ(found.rope_full.rotary_fraction, wanted.rope_full.rotary_fraction);
  EXPECT_EQ(found.rope_sliding.theta, wanted.rope_sliding.theta);
  EXPECT_EQ(found.rope_sliding.rotary_fraction, 1.0);
  EXPECT_EQ(found.mm_embed, wanted.mm_embed);
  EXPECT_EQ(found.positions, wanted.positions);
  EXPECT_EQ(found.audio_samples_per_token, wanted.audio_samples_per_token);
  EXPECT_EQ(found.vision_rms_eps, wanted.vision_rms_eps);
  EXPECT_EQ(found.bos, wanted.bos);
  EXPECT_EQ(found.pad, wanted.pad);
  EXPECT_EQ(found.end_tokens, (std::vector<int32_t>{1, 16, 9}));
  EXPECT_EQ(found.suppressed_tokens, wanted.suppressed_tokens);
  for (const auto id : {&ModelConfig::image_token, &ModelConfig::audio_token, &ModelConfig::video_token,
                        &ModelConfig::image_begin, &ModelConfig::image_end, &ModelConfig::audio_begin,
                        &ModelConfig::audio_end})
    EXPECT_EQ(found.*id, wanted.*id);
  EXPECT_EQ(found.temperature, 1.0F);
  EXPECT_EQ(found.top_k, 64);

  const TensorStore directory = TensorStore::open_directory(TESSERA_SOURCE_DIR "/tests/fixtures/tiny");
  for (const ExpectedTensor& e : expected_tensors(as_stored(wanted, directory))) {
    const FileTensor *t = store.find(e.name), *same = directory.find(e.name);
    ASSERT_NE(t, nullptr) << e.name;
    ASSERT_EQ(t->shape, e.shape) << e.name;
    std::vector<float> values(static_cast<size_t>(t->elements())), published(values);
    read_rows_f32(*t, 0, row_count_of(*t), values.data());
    read_rows_f32(*same, 0, row_count_of(*same), published.data());
    EXPECT_EQ(values, published) << e.name;
  }
}

TEST_F(GgufModel, WithoutAnMmprojThereAreNoMedia) {
  const ModelConfig config = ModelConfig::load_gguf(TensorStore::open_gguf(model(tiny().model), ""));
  EXPECT_EQ(config.mm_embed, 0);
  EXPECT_EQ(config.audio_samples_per_token, 0);
  EXPECT_EQ(config.image_token, -1);
  EXPECT_EQ(config.audio_begin, -1);
}

TEST_F(GgufModel, KeysThatMayBeAbsent) {
  GgufBytes f = tiny().model;
  for (const char* key : {"gemma4.context_length", "gemma4.attention.sliding_window", "gemma4.rope.freq_base",
                          "gemma4.rope.freq_base_swa", "gemma4.attention.layer_norm_rms_epsilon",
                          "gemma4.final_logit_softcapping", "gemma4.attention.sliding_window_pattern",
                          "tokenizer.ggml.suppress_tokens", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.bos_token_id", "gemma4.attention.shared_kv_layers"})
    f.remove(key);
  f.f32("general.sampling.temp", 0.5F);
  f.u32("general.sampling.top_k", 7);
  f.f32("general.sampling.top_p", 0.25F);
  const ModelConfig config = ModelConfig::load_gguf(TensorStore::open_gguf(model(f), ""));
  EXPECT_EQ(config.max_context, 262144);
  EXPECT_EQ(config.window, 1024);
  EXPECT_EQ(config.rope_full.theta, 1e6);
  EXPECT_EQ(config.rope_sliding.theta, 1e4);
  EXPECT_EQ(config.rms_eps, 1e-6F);
  EXPECT_EQ(config.logit_softcap, 30);
  EXPECT_TRUE(config.layers[4].sliding);
  EXPECT_FALSE(config.layers[5].sliding);
  EXPECT_EQ(config.suppressed_tokens, (std::vector<int32_t>{21, 18})) << "files older than the key";
  EXPECT_EQ(config.end_tokens, (std::vector<int32_t>{1, 16, 9}));
  EXPECT_EQ(config.bos, 2);
  EXPECT_EQ(config.temperature, 0.5F);
  EXPECT_EQ(config.top_k, 7);
  EXPECT_EQ(config.top_p, 0.25F);
}

TEST_F(GgufModel, MissingKeysAreNamed) {
  for (const std::string key :
       {"gemma4.block_count", "gemma4.embedding_length", "gemma4.feed_forward_length",
        "gemma4.attention.head_count", "gemma4.attention.head_count_kv", "gemma4.attention.key_length",
        "gemma4.attention.key_length_swa", "tokenizer.ggml.tokens", "general.architecture"}) {
    GgufBytes f = tiny().model;
    f.remove(key);
    refused(f, {"model.gguf", key + " is missing, expected"});
  }
}

TEST_F(GgufModel, SiblingsAndContradictionsAreRefused) {
  const auto changed = [&](auto change, const std::vector<std::string>& words) {
    GgufBytes f = tiny().model;
    change(f);
    refused(f, words);
  };
  changed([](auto& f) { f.text("general.architecture", "llama"); },
          {"\"llama\"", "gemma4", "Gemma 4 12B Unified only"});
  changed([](auto& f) { f.text("general.architecture", "clip"); }, {"mmproj", "--mmproj"});
  changed([](auto& f) { f.text("general.architecture", "gemma4-assistant"); },
          {"gemma4-assistant.embedding_length_out is missing"});
  changed([](auto& f) { f.u32("gemma4.attention.shared_kv_layers", 4); },
          {"shared_kv_layers is 4", "KV sharing"});
  changed([](auto& f) { f.u32("gemma4.embedding_length_per_layer_input", 256); },
          {"256", "per-layer embeddings"});
  changed([](auto& f) { f.u32("gemma4.expert_count", 128); }, {"expert_count is 128", "mixture of experts"});
  changed([](auto& f) { f.text("gemma4.rope.scaling.type", "yarn"); }, {"yarn", "rope scaling"});
  changed([](auto& f) { f.u32("gemma4.block_count", 13); }, {"sliding_window_pattern", "array of 13"});
  changed([](auto& f) { f.u32("gemma4.block_count", 1U << 31); }, {"block_count is 2147483648"});
  changed(
      [](auto& f) { f.array("gemma4.attention.head_count_kv", GgufBytes::kI32, std::vector<int32_t>(5, 2)); },
      {"head_count_kv", "array of 12"});
  changed(
      [](auto& f) {
        f.array("gemma4.attention.head_count_kv", GgufBytes::kI32, std::vector<int32_t>(12, 3));
      },
      {"3 KV heads", "divisor of the 4"});
  changed(
      [](auto& f) {
        f.array("gemma4.attention.head_count_kv", GgufBytes::kI32, std::vector<int32_t>(12, -1));
      },
      {"head_count_kv[0] is -1"});
  changed(
      [](auto& f) {
        std::vector<int32_t> ffn(12, 160);
        ffn[7] = 320;
        f.array("gemma4.feed_forward_length", GgufBytes::kI32, ffn);
      },
      {"feed_forward_length", "same value for every layer"});
  changed([](auto& f) { f.u32("gemma4.attention.value_length", 16); }, {"value_length is 16", "32"});
  changed([](auto& f) { f.u32("gemma4.rope.dimension_count_swa", 8); }, {"dimension_count_swa is 8", "16"});
  changed([](auto& f) { f.at("rope_freqs.weight").ne = {15}; }, {"rope_freqs.weight is [15]", "[16]"});
  changed([](auto& f) { f.at("rope_freqs.weight").data = std::string(64, '\0'); },
          {"rope_freqs.weight", "0 ones"});
  changed([](auto& f) { f.at("rope_freqs.weight").name = "x"; }, {"rope_freqs.weight is missing"});
  changed(
      [](auto& f) {
        const std::vector<float> two = {1, 1, 1, 1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};
        f.at("rope_freqs.weight").data.assign(reinterpret_cast<const char*>(two.data()), 64);
      },
      {"4 ones and then 2", "rope scaling"});
  changed(
      [](auto& f) {
        f.strings("tokenizer.ggml.tokens", {"<eos>", "a"});
      },
      {"2 entries", "token_embd.weight is [1024, 64]"});
  changed([](auto& f) { f.u32("tokenizer.ggml.bos_token_id", 1024); },
          {"bos_token_id is 1024", "from 0 to 1023"});
}

TEST_F(GgufModel, AnMmprojOfAnotherModelIsRefusedWithBothNames) {
  const auto changed = [&](auto change, const std::vector<std::string>& words) {
    GgufBytes f = tiny().mmproj;
    change(f);
    const std::string media = mmproj(f);
    std::vector<std::string> all = words;
    all.push_back("model.gguf");
    all.push_back("other.gguf");
    refused(tiny().model, all, media);
  };
  changed([](auto& f) { f.text("clip.vision.projector_type", "gemma3"); }, {"gemma3", "gemma4uv"});
  changed([](auto& f) { f.text("clip.audio.projector_type", "qwen2a"); }, {"qwen2a", "gemma4ua"});
  changed([](auto& f) { f.u32("clip.vision.projection_dim", 3840); }, {"projection_dim is 3840", "64"});
  changed([](auto& f) { f.u32("clip.audio.projection_dim", 2560); }, {"projection_dim is 2560", "64"});
  changed([](auto& f) { f.text("general.architecture", "gemma4"); }, {"\"clip\""});
}

TEST_F(GgufModel, MmprojsThatAreOffTheMark) {
  const auto changed = [&](auto change, const std::vector<std::string>& words) {
    GgufBytes f = tiny().mmproj;
    change(f);
    refused(tiny().model, words, mmproj(f));
  };
  changed([](auto& f) { f.u32("clip.vision.patch_size", 14); }, {"patch_size is 14", "16"});
  changed(
      [](auto& f) {
        f.array("clip.vision.image_mean", GgufBytes::kF32, std::vector<float>{0.5F, 0, 0});
      },
      {"image_mean", "three times 0"});
  changed([](auto& f) { f.u32("clip.audio.embedding_length", 1024); }, {"embedding_length is 1024", "640"});
  changed(
      [](auto& f) {
        f.boolean("clip.has_vision_encoder", false), f.boolean("clip.has_audio_encoder", false);
      },
      {"has_vision_encoder is false"});
  changed([](auto& f) { f.at("mm.input_projection.weight").name = "token_embd.weight"; },
          {"other.gguf", "token_embd.weight", "there twice", "model.gguf"});

  GgufBytes f = tiny().mmproj;
  f.f32("clip.audio.attention.layer_norm_epsilon", 1e-5F);
  const ModelConfig config = ModelConfig::load_gguf(TensorStore::open_gguf(model(tiny().model), mmproj(f)));
  EXPECT_EQ(config.audio_rms_eps, 1e-6F) << "what older converters wrote";
}

TEST_F(GgufModel, AnOutputMatrixMustBeACopyOfTheEmbedding) {
  GgufBytes f = tiny().model;
  GgufBytes::Tensor copy = f.at("token_embd.weight");
  copy.name = "output.weight";
  f.tensors.push_back(copy);
  const TensorStore store = TensorStore::open_gguf(model(f), "");
  EXPECT_EQ(store.find("output.weight"), nullptr);
  f.tensors.back().data[f.tensors.back().data.size() - 4] ^= 1;  // in the last row
  refused(f, {"output.weight", "token_embd.weight", "no copy"});
  f.tensors.back().ne = {64, 512};
  f.tensors.back().data.resize(64 * 512 * 4);
  refused(f, {"[512, 64]", "[1024, 64]"});
}

TEST_F(GgufModel, ATypeThatCannotBeReadIsNamedWhenItIsNeeded) {
  GgufBytes f = tiny().model;
  f.at("token_embd.weight").type = 10;
  refused(f, {"token_embd.weight", "Q2_K", "Q4_K"});
  f = tiny().model;
  f.tensor("unheard.of", {8}, 99, std::string(8, 'x'));
  const TensorStore store = TensorStore::open_gguf(model(f), "");
  EXPECT_NO_THROW(ModelConfig::load_gguf(store));
  expect_error(ErrorKind::kBadModel, {"unheard.of", "type 99"}, [&] { store.find("unheard.of"); });
}

/// The tiny model in three files, as llama.cpp's gguf-split cuts it.
std::vector<GgufBytes> split_in_three() {
  std::vector<GgufBytes> parts(3);
  const auto& tensors = tiny().model.tensors;
  parts[0].values = tiny().model.values;
  for (size_t i = 0; i < 3; ++i) {
    parts[i].set("split.no", GgufBytes::kU16, GgufBytes::raw(static_cast<uint16_t>(i)));
    parts[i].set("split.count", GgufBytes::kU16, GgufBytes::raw<uint16_t>(3));
    parts[i].set("split.tensors.count", GgufBytes::kI32,
                 GgufBytes::raw(static_cast<int32_t>(tensors.size())));
  }
  for (size_t i = 0; i < tensors.size(); ++i) parts[i * 3 / tensors.size()].tensors.push_back(tensors[i]);
  return parts;
}

TEST_F(GgufModel, SplitFilesAreOne) {
  const auto name = [](int i) { return "m-0000" + std::to_string(i) + "-of-00003.gguf"; };
  const auto write = [&](const std::vector<GgufBytes>& parts) {
    for (int i = 0; i < 3; ++i) dir_.write(name(i + 1), parts[static_cast<size_t>(i)].bytes());
  };
  write(split_in_three());
  for (int i = 1; i <= 3; ++i) {
    const TensorStore store = TensorStore::open_gguf(dir_.file(name(i)), "");
    EXPECT_EQ(store.files(), 3);
    EXPECT_EQ(store.tensors().size(), tiny().model.tensors.size());
    EXPECT_EQ(ModelConfig::load_gguf(store).hidden, 64);
  }
  const auto refused_split = [&](ErrorKind kind, const std::vector<std::string>& words) {
    expect_error(kind, words, [&] { TensorStore::open_gguf(dir_.file(name(1)), ""); });
  };
  auto parts = split_in_three();
  parts[1].tensors.pop_back();
  write(parts);
  refused_split(ErrorKind::kBadModel, {"split.tensors.count", "3 parts"});
  parts = split_in_three();
  std::swap(parts[1], parts[2]);
  write(parts);
  refused_split(ErrorKind::kBadModel, {name(2), "split.no is 2", "different models"});
  parts = split_in_three();
  parts[2].set("split.count", GgufBytes::kU16, GgufBytes::raw<uint16_t>(4));
  write(parts);
  refused_split(ErrorKind::kBadModel, {name(3), "split.count is 4"});
  parts = split_in_three();
  parts[2].tensors.push_back(parts[0].tensors[0]);
  write(parts);
  refused_split(ErrorKind::kBadModel, {name(3), "there twice", name(1)});
  parts = split_in_three();
  parts[0].remove("split.count");
  write(parts);
  refused_split(ErrorKind::kBadModel, {"split.count is missing", "3"});
  write(split_in_three());
  std::filesystem::remove(dir_.file(name(2)));
  refused_split(ErrorKind::kIo, {name(2), "missing", "3 parts"});
  dir_.write("alone.gguf", split_in_three()[0].bytes());
  expect_error(ErrorKind::kBadModel, {"alone.gguf", "split.count is 3", "00001-of-00003"},
               [&] { TensorStore::open_gguf(dir_.file("alone.gguf"), ""); });
}

TEST_F(GgufModel, CutShortAnywhereIsAnError) {
  const std::string whole = tiny().model.bytes(), media = tiny().mmproj.bytes();
  for (size_t i = 0; i < 64; ++i) {
    const std::string path = dir_.write("cut.gguf", whole.substr(0, whole.size() * i / 64));
    expect_error(ErrorKind::kBadModel, {"cut.gguf"}, [&] { TensorStore::open_gguf(path, ""); });
    const std::string cut = dir_.write("mmproj.gguf", media.substr(0, media.size() * i / 64));
    if (i == 0) model(tiny().model);
    expect_error(ErrorKind::kBadModel, {"mmproj.gguf"},
                 [&] { TensorStore::open_gguf(dir_.file("model.gguf"), cut); });
  }
}

}  // namespace
}  // namespace tessera
