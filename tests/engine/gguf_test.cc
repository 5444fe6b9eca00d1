// GGUF through the engine: every block type on every backend, the mmproj beside a model, what inspect says.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/model_source.h"
#include "engine/probe.h"
#include "support/engines.h"
#include "support/expect_error.h"
#include "support/gguf_model.h"
#include "support/temp_dir.h"

namespace tessera::test {
namespace {

std::vector<float> logits_of(const std::string& path, const BackendCase& c) {
  EngineOptions o;
  o.backend = c.backend;
  o.isa = c.isa;
  o.threads = 2;
  o.context_tokens = 256;
  const auto engine = Engine::load(path, o);
  EngineImpl& impl = engine->impl();
  Sequence s(impl.config, impl.tokenizer);
  s.append_tokens(std::vector{impl.config.bos});
  s.append_text("The train to Lyon leaves at 10:45 from platform 7, said the guard.");
  s.flush();
  return probe(impl, s, {0, false, 4}).logits;
}

/// |a - b| / |b|
double relative_l2(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

class GgufBlocks : public testing::TestWithParam<BlockKind> {};

TEST_P(GgufBlocks, BackendsAgree) {
  const TempDir dir;
  const std::string path = dir.write("m.gguf", quantised_gguf(GetParam(), 5).bytes());
  const std::vector<float> wanted = logits_of(path, {"ref", ""});
  ASSERT_GT(wanted.size(), 1024U);
  float least = INFINITY, most = -INFINITY;
  for (const float v : wanted) least = std::min(least, v), most = std::max(most, v);
  ASSERT_TRUE(std::isfinite(least) && std::isfinite(most) && most - least > 0.1F) << least << " to " << most;
  const ModelInfo info = inspect_model(path);
  EXPECT_EQ(info.dtypes[0].dtype, GetParam().name);
  EXPECT_EQ(info.format, "GGUF, 1 file");
  for (const BackendCase& c : backends()) {
    if (c.backend == "ref") continue;
    // int8 activations, where a backend has them, are good for about 1 %.
    EXPECT_LE(relative_l2(logits_of(path, c), wanted), 0.05) << c.name();
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufBlocks, testing::ValuesIn(block_kinds()),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(GgufEngine, AModelWithoutMmprojSaysWhatItNeedsToSee) {
  const TempDir dir;
  const std::string path = dir.write("tiny.gguf", tiny_gguf().model.bytes());
  const auto engine = Engine::load(path);
  Session session(engine);
  const Media picture = tiny_media({"image", "shapes.png", 70});
  expect_error(ErrorKind::kBadModel, {path, "vision", "--mmproj"}, [&] { session.append_media(picture); });
  expect_error(ErrorKind::kBadModel, {path, "vision", "--mmproj"},
               [&] { session.set_prompt("<bos><|image|>", std::vector{picture}); });
  session.append_text("Hello");
  GenerateOptions options;
  options.max_tokens = 2;
  EXPECT_EQ(session.generate(options).ids.size(), 2U);
}

TEST(GgufEngine, InspectTellsOfTheMmproj) {
  const TempDir dir;
  const GgufPair pair = tiny_gguf();
  const std::string path = dir.write("tiny-Q8_0.gguf", pair.model.bytes());
  EXPECT_EQ(inspect_model(path).mmproj, "");
  EXPECT_EQ(inspect_model(path).vision_parameters, 0);
  const std::string media = dir.write("mmproj-tiny-f16.gguf", pair.mmproj.bytes());
  const ModelInfo info = inspect_model(path), directory = inspect_model(kTiny);
  EXPECT_EQ(info.mmproj, media);
  EXPECT_EQ(info.note, "");
  EXPECT_EQ(info.format, "GGUF, 1 file and an mmproj");
  EXPECT_EQ(info.total_parameters, directory.total_parameters);
  EXPECT_EQ(info.vision_parameters, directory.vision_parameters);
  EXPECT_EQ(info.audio_parameters, directory.audio_parameters);
  EXPECT_EQ(info.merges, directory.merges);
  EXPECT_EQ(info.control_tokens, directory.control_tokens);
  EXPECT_EQ(info.path, path);
  const std::string other = dir.write("other.gguf", pair.mmproj.bytes());
  EXPECT_EQ(inspect_model(path, other).mmproj, other);
  expect_error(ErrorKind::kIo, {"nowhere.gguf"}, [&] { inspect_model(path, dir.file("nowhere.gguf")); });
  expect_error(ErrorKind::kBadRequest, {other, "directory"}, [&] { inspect_model(kTiny, other); });
}

TEST(GgufEngine, AnMmprojIsChosenByItsName) {
  const TempDir dir;
  const std::string model = dir.write("gemma-4-12b-it-Q4_K_M.gguf", "");
  const auto chosen = [&] {
    const MmprojChoice c = choose_mmproj(model);
    return c.path.empty() ? "" : c.path.substr(dir.path().size() + 1);
  };
  EXPECT_EQ(chosen(), "");
  EXPECT_EQ(choose_mmproj(model).note, "");
  dir.write("mmproj-F16.gguf", "");
  EXPECT_EQ(chosen(), "mmproj-F16.gguf") << "the only one there";
  EXPECT_FALSE(choose_mmproj(model).sure);
  dir.write("mmproj-BF16.gguf", "");
  EXPECT_EQ(chosen(), "");
  EXPECT_NE(choose_mmproj(model).note.find("--mmproj"), std::string::npos);
  dir.write("mmproj-other-12b-F16.gguf", "");
  EXPECT_EQ(chosen(), "");
  dir.write("mmproj-gemma-4-F32.gguf", "");
  EXPECT_EQ(chosen(), "mmproj-gemma-4-F32.gguf");
  EXPECT_TRUE(choose_mmproj(model).sure);
  dir.write("mmproj-Gemma-4-12B-it.gguf", "");
  EXPECT_EQ(chosen(), "mmproj-Gemma-4-12B-it.gguf") << "the longest";
  dir.write("mmproj-Gemma-4-12B-it-Q8_0.gguf", "");
  EXPECT_EQ(chosen(), "mmproj-Gemma-4-12B-it-Q8_0.gguf") << "of equals the first";
}

TEST(GgufEngine, AGuessThatDoesNotFitIsLeftOutAndAnythingElseIsAnError) {
  const TempDir dir;
  GgufPair pair = tiny_gguf();
  pair.mmproj.u32("clip.vision.projection_dim", 3840);
  const std::string path = dir.write("tiny.gguf", pair.model.bytes());
  const std::string guess = dir.write("mmproj-F32.gguf", pair.mmproj.bytes());
  const ModelInfo info = inspect_model(path);
  EXPECT_EQ(info.mmproj, "");
  EXPECT_NE(info.note.find(guess), std::string::npos) << info.note;
  EXPECT_NE(info.note.find("3840"), std::string::npos) << info.note;
  expect_error(ErrorKind::kBadModel, {"3840", guess, path}, [&] { inspect_model(path, guess); });
  std::filesystem::rename(guess, dir.file("mmproj-tiny-F32.gguf"));
  expect_error(ErrorKind::kBadModel, {"3840", path}, [&] { inspect_model(path); });
}

TEST(GgufEngine, TensorsThatContradictTheConfigAreNamed) {
  const TempDir dir;
  const auto refused = [&](auto change, const std::vector<std::string>& words) {
    GgufPair pair = tiny_gguf();
    change(pair);
    const std::string path = dir.write("tiny.gguf", pair.model.bytes());
    const std::string media = dir.write("media.gguf", pair.mmproj.bytes());
    EngineOptions o;
    o.mmproj_path = media;
    expect_error(ErrorKind::kBadModel, words, [&] { Engine::load(path, o); });
    expect_error(ErrorKind::kBadModel, words, [&] { inspect_model(path, media); });
  };
  refused(
      [](auto& p) {
        p.model.at("blk.3.ffn_down.weight").ne = {64, 160};
      },
      {"blk.3.ffn_down.weight", "[160, 64]", "[64, 160]"});
  refused([](auto& p) { p.model.at("blk.3.attn_v.weight").name = "x"; },
          {"layers.3.self_attn.v_proj", "missing"});
  refused([](auto& p) { p.model.at("blk.3.attn_k.weight").type = 11; }, {"blk.3.attn_k.weight", "Q3_K"});
  refused(
      [](auto& p) {
        p.mmproj.at("v.position_embd.weight").ne = {2, 1120, 64};
      },
      {"v.position_embd.weight"});
  refused([](auto& p) { p.mmproj.at("v.patch_norm.1.bias").ne = {6900}; }, {"v.patch_norm.1.bias", "[6912]"});
  refused([](auto& p) { p.mmproj.at("v.patch_norm.3.bias").name = "x"; }, {"pos_norm.bias", "missing"});
  refused([](auto& p) { p.model.text("tokenizer.ggml.model", "llama"); }, {"tokenizer.ggml.model", "llama"});
  refused([](auto& p) { p.model.remove("tokenizer.ggml.merges"); }, {"tokenizer.ggml.merges is missing"});
  refused([](auto& p) { p.model.remove("tokenizer.ggml.token_type"); },
          {"tokenizer.ggml.token_type is missing"});
}

TEST(GgufEngine, TheSameTokens) {
  const TempDir dir;
  const std::string path = dir.write("tiny.gguf", tiny_gguf().model.bytes());
  const std::string text = "<|turn>user\nDescribe the train 10:45 \xF0\x9F\xA6\x99<turn|>";
  EXPECT_EQ(tokenize(path, text), tokenize(kTiny, text));
  EXPECT_EQ(detokenize(path, tokenize(path, text)), text);
  EXPECT_EQ(media_budgets(path).image, 280);
}

TEST(GgufEngine, PathsThatAreNoModel) {
  const TempDir dir;
  dir.write("readme.txt", "hello");
  expect_error(ErrorKind::kBadModel, {"readme.txt", "neither"},
               [&] { inspect_model(dir.file("readme.txt")); });
  dir.write("m.gguf", "GGUF");
  expect_error(ErrorKind::kIo, {dir.path(), "m.gguf"}, [&] { inspect_model(dir.path()); });
  expect_error(ErrorKind::kBadModel, {"m.gguf"}, [&] { inspect_model(dir.file("m.gguf")); });
  expect_error(ErrorKind::kIo, {"gone.gguf"}, [&] { inspect_model(dir.file("gone.gguf")); });
  // The name may be another, as long as the file begins with GGUF.
  const std::string renamed = dir.write("blob", tiny_gguf().model.bytes());
  EXPECT_EQ(inspect_model(renamed).hidden, 64);
}

}  // namespace
}  // namespace tessera::test
