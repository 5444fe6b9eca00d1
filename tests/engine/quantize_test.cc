// quantize(): the bytes of the files, read back by the tests' own reader, and the engine's reading of them.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <set>

#include "base/dtype.h"
#include "format/affine.h"
#include "format/blocks.h"
#include "support/expect_error.h"
#include "support/gguf_model.h"
#include "support/gguf_reader.h"
#include "support/temp_dir.h"
#include "tessera/tessera.h"

namespace tessera::test {
namespace {

const std::string kTiny = TESSERA_SOURCE_DIR "/tests/fixtures/tiny";

QuantizeOptions options_of(const TempDir& dir, const std::string& type, const std::string& model = kTiny) {
  QuantizeOptions options;
  options.model = model;
  options.out = dir.file("out.gguf");
  options.type = type;
  options.threads = 2;
  return options;
}

GgufTestFile read_gguf(const std::string& path) {
  const std::string bytes = read_bytes(path);
  return GgufTestReader(bytes).read();
}

std::vector<float> values_of(const GoldenTensor& t) {
  std::vector<float> values(t.bytes.size() / 2);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = bf16_to_f32(static_cast<uint16_t>(t.bytes[2 * i] | t.bytes[2 * i + 1] << 8));
  return values;
}

std::string block_text(FileType type, const std::vector<float>& values) {
  std::string bytes(static_cast<size_t>(row_bytes(type, static_cast<int64_t>(values.size()))), '\0');
  quantize_blocks(type, values.data(), static_cast<int64_t>(values.size()),
                  reinterpret_cast<uint8_t*>(bytes.data()));
  return bytes;
}

std::string float_text(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * 4};
}

TEST(Quantize, MetadataIsWhatFormatsMdLists) {
  const TempDir dir;
  quantize(options_of(dir, "q8_0"));
  GgufTestFile f = read_gguf(dir.file("out.gguf"));
  auto& v = f.values;
  EXPECT_EQ(f.keys.front(), "general.architecture");
  EXPECT_EQ(v.at("general.architecture").items[0], "gemma4");
  EXPECT_EQ(v.at("general.type").items[0], "model");
  EXPECT_EQ(v.at("general.name").items[0], "tiny");
  const std::vector<std::pair<std::string, uint32_t>> numbers = {
      {"general.file_type", 7},
      {"general.quantization_version", 2},
      {"gemma4.block_count", 12},
      {"gemma4.context_length", 4096},
      {"gemma4.embedding_length", 64},
      {"gemma4.feed_forward_length", 160},
      {"gemma4.attention.head_count", 4},
      {"gemma4.attention.key_length", 32},
      {"gemma4.attention.value_length", 32},
      {"gemma4.attention.key_length_swa", 16},
      {"gemma4.attention.value_length_swa", 16},
      {"gemma4.rope.dimension_count", 32},
      {"gemma4.rope.dimension_count_swa", 16},
      {"gemma4.attention.sliding_window", 16},
      {"gemma4.attention.shared_kv_layers", 0},
      {"gemma4.embedding_length_per_layer_input", 0},
      {"tokenizer.ggml.bos_token_id", 2},
      {"tokenizer.ggml.eos_token_id", 1},
      {"tokenizer.ggml.padding_token_id", 0},
      {"tokenizer.ggml.unknown_token_id", 3},
      {"tokenizer.ggml.mask_token_id", 4}};
  for (const auto& [key, value] : numbers) {
    EXPECT_EQ(v.at(key).type, 4U) << key;
    EXPECT_EQ(v.at(key).as<uint32_t>(), value) << key;
  }
  EXPECT_EQ(v.at("gemma4.attention.layer_norm_rms_epsilon").as<float>(), 1e-6F);
  EXPECT_EQ(v.at("gemma4.rope.freq_base").as<float>(), 1e6F);
  EXPECT_EQ(v.at("gemma4.rope.freq_base_swa").as<float>(), 1e4F);
  EXPECT_EQ(v.at("gemma4.final_logit_softcapping").as<float>(), 30.0F);
  const auto &heads = v.at("gemma4.attention.head_count_kv"),
             &pattern = v.at("gemma4.attention.sliding_window_pattern");
  ASSERT_EQ(heads.items.size(), 12U);
  EXPECT_EQ(heads.element, 5U);
  EXPECT_EQ(pattern.element, 7U);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(heads.as<int32_t>(i), i % 6 == 5 ? 1 : 2);
    EXPECT_EQ(pattern.as<uint8_t>(i), i % 6 == 5 ? 0 : 1);
  }
  const TokenizerLists lists(tiny_file("tokenizer.json"));
  EXPECT_EQ(v.at("tokenizer.ggml.model").items[0], "gemma4");
  EXPECT_EQ(v.at("tokenizer.ggml.tokens").items, lists.tokens);
  EXPECT_EQ(v.at("tokenizer.ggml.merges").items, lists.merges);
  EXPECT_EQ(v.at("tokenizer.ggml.scores").items.size(), lists.tokens.size());
  ASSERT_EQ(v.at("tokenizer.ggml.token_type").items.size(), lists.types.size());
  for (size_t i = 0; i < lists.types.size(); ++i)
    ASSERT_EQ(v.at("tokenizer.ggml.token_type").as<int32_t>(i), lists.types[i]) << lists.tokens[i];
  EXPECT_EQ(v.at("tokenizer.ggml.add_bos_token").items[0], "\1");
  EXPECT_EQ(v.at("tokenizer.ggml.add_space_prefix").items[0], std::string(1, '\0'));
  EXPECT_EQ(v.at("tokenizer.ggml.suppress_tokens").element, 5U);
  EXPECT_FALSE(v.contains("tokenizer.ggml.pre")) << "loaders take gemma4's from the model's name";
}

TEST(Quantize, TensorsHaveGgufsNamesShapesAndTypes) {
  const TempDir dir;
  const QuantizeOptions options = options_of(dir, "q8_0");
  const WriteReport report = quantize(options);
  EXPECT_TRUE(report.notes.empty());
  EXPECT_EQ(report.bytes, static_cast<int64_t>(std::filesystem::file_size(options.out)));
  const GgufTestFile f = read_gguf(options.out);
  EXPECT_EQ(f.tensors.size(), 10U * 14 + 2 * 13 + 3);  // sliding and full layers, three beside them
  std::set<std::string> names(f.names.begin(), f.names.end());
  for (const auto& [hf, tensor] : read_golden(kTiny + "/model.safetensors")) {
    const std::string name = gguf_name(hf);
    if (name.starts_with("v.") || name.starts_with("mm.")) continue;
    ASSERT_TRUE(names.erase(name) == 1) << name;
    const GgufTestTensor& t = f.tensors.at(name);
    std::vector<uint64_t> ne(tensor.shape.rbegin(), tensor.shape.rend());
    EXPECT_EQ(t.ne, ne) << name;
    EXPECT_EQ(t.type, tensor.shape.size() == 2 ? 8U : 0U) << name;
    const std::vector<float> values = values_of(tensor);
    const std::string expected = t.type == 8 ? block_text(FileType::kQ8_0, values) : float_text(values);
    ASSERT_EQ(t.bytes.substr(0, expected.size()), expected) << name;
  }
  EXPECT_EQ(names, std::set<std::string>{"rope_freqs.weight"});
  std::vector<float> divisors(16, 1e30F);
  std::fill_n(divisors.begin(), 4, 1.0F);
  EXPECT_EQ(f.tensors.at("rope_freqs.weight").bytes, float_text(divisors));
}

TEST(Quantize, TheMmprojHasItsPermutations) {
  const TempDir dir;
  QuantizeOptions options = options_of(dir, "q8_0");
  options.mmproj_out = dir.file("mmproj.gguf");
  quantize(options);
  const GgufTestFile f = read_gguf(options.mmproj_out);
  const auto& v = f.values;
  EXPECT_EQ(v.at("general.architecture").items[0], "clip");
  EXPECT_EQ(v.at("general.type").items[0], "mmproj");
  EXPECT_EQ(v.at("clip.vision.projector_type").items[0], "gemma4uv");
  EXPECT_EQ(v.at("clip.audio.projector_type").items[0], "gemma4ua");
  const std::vector<std::pair<std::string, uint32_t>> numbers = {
      {"clip.vision.patch_size", 16},         {"clip.vision.image_size", 224},
      {"clip.vision.embedding_length", 64},   {"clip.vision.projection_dim", 64},
      {"clip.vision.block_count", 0},         {"clip.vision.attention.head_count", 0},
      {"clip.vision.feed_forward_length", 0}, {"clip.audio.embedding_length", 640},
      {"clip.audio.projection_dim", 64},      {"clip.audio.num_mel_bins", 128},
      {"clip.audio.block_count", 0}};
  for (const auto& [key, value] : numbers) EXPECT_EQ(v.at(key).as<uint32_t>(), value) << key;
  EXPECT_EQ(v.at("clip.vision.image_std").as<float>(2), 1.0F);
  EXPECT_EQ(v.at("clip.audio.attention.layer_norm_epsilon").as<float>(), 1e-6F);

  size_t found = 0;
  for (const auto& [hf, tensor] : read_golden(kTiny + "/model.safetensors")) {
    const std::string name = gguf_name(hf);
    if (!name.starts_with("v.") && !name.starts_with("mm.")) continue;
    ++found;
    const GgufTestTensor& t = f.tensors.at(name);
    if (name == "v.position_embd.weight") {
      EXPECT_EQ(t.ne, (std::vector<uint64_t>{64, 1120, 2}));
    }
    if (name.starts_with("mm.")) {
      EXPECT_EQ(t.type, 30U) << "BF16";
      const std::string expected(tensor.bytes.begin(), tensor.bytes.end());
      EXPECT_EQ(t.bytes.substr(0, expected.size()), expected);
      continue;
    }
    EXPECT_EQ(t.type, 0U) << name;
    const std::string expected =
        float_text(as_converted(name, values_of(tensor), static_cast<size_t>(tensor.shape.back())));
    ASSERT_EQ(t.bytes.substr(0, expected.size()), expected) << name;
  }
  EXPECT_EQ(found, f.tensors.size());
}

TEST(Quantize, TheEngineReadsWhatWasWritten) {
  for (const char* type : {"bf16", "f32", "q8_0", "q4_0"}) {
    const TempDir dir;
    QuantizeOptions options = options_of(dir, type);
    options.mmproj_out = dir.file("mmproj-out.gguf");
    quantize(options);
    const ModelInfo given = inspect_model(kTiny), made = inspect_model(options.out);
    EXPECT_EQ(made.mmproj, options.mmproj_out);
    EXPECT_EQ(made.total_parameters, given.total_parameters);
    EXPECT_EQ(made.layers.size(), given.layers.size());
    for (const int32_t id : given.end_tokens)  // the reader adds what it knows of the published model
      EXPECT_NE(std::find(made.end_tokens.begin(), made.end_tokens.end(), id), made.end_tokens.end());
    EXPECT_EQ(made.suppressed_tokens, given.suppressed_tokens);
    EXPECT_EQ(made.window, given.window);
    const std::string text = "Flight 117, \xc3\x84pfel <|turn>user\n hi <turn|>";
    EXPECT_EQ(tokenize(options.out, text), tokenize(kTiny, text));
  }
}

TEST(Quantize, RowsOfTheEmbeddingWithoutATokenGetUnusedNames) {
  const TempDir dir;
  QuantizeOptions options = options_of(dir, "q8_0", TESSERA_SOURCE_DIR "/models/mini");
  options.mmproj_out = dir.file("mmproj.gguf");
  quantize(options);
  const ModelInfo info = inspect_model(dir.file("out.gguf"));
  EXPECT_EQ(info.vocab, 512);
  EXPECT_EQ(info.vocab_entries, 512);
  const std::vector<int32_t> ids = tokenize(options.model, "Read the board: 12:45 [PAD500]");
  EXPECT_EQ(tokenize(dir.file("out.gguf"), "Read the board: 12:45 [PAD500]"), ids);
  EXPECT_LT(*std::max_element(ids.begin(), ids.end()), 495);  // of its tokenizer.json
  EXPECT_EQ(detokenize(dir.file("out.gguf"), std::vector<int32_t>{500}), "[PAD500]");
}

TEST(Quantize, RowsThatAreNotWholeBlocksAreSaidToBeSo) {
  const TempDir dir;
  const WriteReport report = quantize(options_of(dir, "q4_k"));
  ASSERT_FALSE(report.notes.empty());
  std::string all;
  for (const std::string& note : report.notes) all += note + "\n";
  for (const char* words : {"64 values", "blocks of 256", "Q4_K", "Q6_K", "written as Q8_0"})
    EXPECT_NE(all.find(words), std::string::npos) << words << " in:\n" << all;
  EXPECT_EQ(read_gguf(dir.file("out.gguf")).tensors.at("blk.0.ffn_down.weight").type, 8U);
}

TEST(Quantize, EveryTypeOnRowsThatFit) {
  struct Wanted {
    const char* type;
    uint32_t matrices, embedding;
  };
  const TempDir dir;
  const std::string model = dir.write("model.gguf", quantised_gguf(block_kinds()[4], 7).bytes());  // Q8_0
  const TensorStore source = TensorStore::open_gguf(model, "");
  for (const Wanted& w :
       {Wanted{"q8_0", 8, 8}, {"q6_k", 14, 14}, {"q4_k", 12, 14}, {"q4_0", 2, 14}, {"f32", 0, 0}}) {
    SCOPED_TRACE(w.type);
    const WriteReport report = quantize(options_of(dir, w.type, model));
    EXPECT_TRUE(report.notes.empty());
    GgufTestFile f = read_gguf(dir.file("out.gguf"));
    EXPECT_EQ(f.tensors.at("token_embd.weight").type, w.embedding);
    EXPECT_EQ(f.tensors.at("blk.1.attn_k.weight").type, w.matrices);
    EXPECT_EQ(f.values.at("tokenizer.ggml.suppress_tokens").as<int32_t>(1), 21) << "metadata is taken over";
    const TensorStore made = TensorStore::open_gguf(dir.file("out.gguf"), "");
    for (const auto& [name, tensor] : source.tensors()) {
      const FileTensor& other = *made.find(name);
      ASSERT_EQ(other.shape, tensor.shape);
      std::vector<float> a(static_cast<size_t>(tensor.elements())), b(a.size());
      read_rows_f32(tensor, 0, row_count_of(tensor), a.data());
      read_rows_f32(other, 0, row_count_of(other), b.data());
      double error = 0, squares = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        error += std::pow(double{a[i]} - b[i], 2);
        squares += std::pow(double{a[i]}, 2);
      }
      const double bound = other.type == tensor.type || other.type == FileType::kF32 ? 0
                           : other.type == FileType::kQ6_K                           ? 0.02
                                                                                     : 0.1;
      ASSERT_LE(std::sqrt(error), bound * std::sqrt(squares)) << name;
    }
  }
}

TEST(Quantize, ThreadsDoNotChangeABit) {
  const TempDir dir;
  QuantizeOptions options = options_of(dir, "q4_0");
  std::string first;
  for (const int threads : {1, 2, 5}) {
    options.threads = threads;
    double last = 0;
    options.on_progress = [&](double fraction) {
      EXPECT_GE(fraction, last);
      last = fraction;
    };
    quantize(options);
    EXPECT_EQ(last, 1.0);
    const std::string bytes = read_bytes(options.out);
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads;
  }
}

TEST(Quantize, BadOptions) {
  const TempDir dir;
  const auto refused = [&](ErrorKind kind, const std::vector<std::string>& words, auto change) {
    QuantizeOptions options = options_of(dir, "q8_0");
    change(options);
    expect_error(kind, words, [&] { quantize(options); });
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  };
  refused(ErrorKind::kBadRequest, {"q5_k", "q4_k"}, [](auto& o) { o.type = "q5_k"; });
  refused(ErrorKind::kBadRequest, {"-1 threads"}, [](auto& o) { o.threads = -1; });
  refused(ErrorKind::kBadRequest, {"no output"}, [](auto& o) { o.out = ""; });
  refused(ErrorKind::kBadRequest, {"out.gguf", "mmproj"}, [](auto& o) { o.mmproj_out = o.out; });
  refused(ErrorKind::kBadRequest, {"x.gguf", "directory"}, [](auto& o) { o.mmproj = "x.gguf"; });
  refused(ErrorKind::kIo, {"nowhere"}, [](auto& o) { o.model = "nowhere"; });
  refused(ErrorKind::kIo, {"missing/out.gguf"}, [&](auto& o) { o.out = dir.file("missing/out.gguf"); });
}

TEST(Quantize, AModelIsNotWrittenOverItself) {
  const TempDir dir;
  const std::string model = dir.write("model.gguf", tiny_gguf().model.bytes()), before = read_bytes(model);
  QuantizeOptions options = options_of(dir, "q8_0", model);
  options.out = model;
  expect_error(ErrorKind::kBadRequest, {"model.gguf", "give another name"}, [&] { quantize(options); });
  options.out = dir.file("out.gguf");
  options.mmproj_out = dir.file("mmproj.gguf");
  expect_error(ErrorKind::kBadRequest, {"no vision or audio"}, [&] { quantize(options); });
  EXPECT_EQ(read_bytes(model), before);
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

TEST(Quantize, AFullDiskLeavesNothing) {
  const TempDir dir;
  QuantizeOptions options = options_of(dir, "f32");
  options.mmproj_out = dir.file("mmproj.gguf");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1 << 20, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::kIo, {".part", "disk space"}, [&] { quantize(options); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace tessera::test
