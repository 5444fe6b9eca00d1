// GGUF on the command line: the answers of the directory, --mmproj, and broken files as clear errors.
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "support/gguf_model.h"

namespace tessera::test {
namespace {

using nlohmann::json;

/// The tiny checkpoint as tiny.gguf and media.gguf, which no one finds by its name.
class CliGguf : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    const GgufPair pair = tiny_gguf();
    write_file(*folder_ / "tiny.gguf", pair.model.bytes());
    write_file(*folder_ / "media.gguf", pair.mmproj.bytes());
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string model() { return *folder_ / "tiny.gguf"; }
  static std::string mmproj() { return *folder_ / "media.gguf"; }
  static std::string answer(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "run");
    for (const char* more : {"-n", "12", "--temp", "0", "--json"}) arguments.emplace_back(more);
    const Outcome outcome = tessera(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.exit_code == 0 ? json::parse(outcome.out)["text"].get<std::string>() : "";
  }
  static Folder* folder_;
};
Folder* CliGguf::folder_ = nullptr;

TEST_F(CliGguf, AnswersAsTheDirectoryDoes) {
  EXPECT_EQ(answer({model(), "Which gate?"}), answer({kTiny, "Which gate?"}));
  const std::vector<std::string> media_flags = {"What is it?", "--image", media("waves.png"), "--audio",
                                                media("short.wav")};
  std::vector<std::string> with = {"-m", model(), "--mmproj", mmproj()}, directory = {"-m", kTiny};
  with.insert(with.end(), media_flags.begin(), media_flags.end());
  directory.insert(directory.end(), media_flags.begin(), media_flags.end());
  EXPECT_EQ(answer(with), answer(directory));
  expect_error(tessera({"run", model(), "What is it?", "--image", media("waves.png")}),
               {"vision", "--mmproj"});
  expect_error(tessera({"run", kTiny, "hi", "--mmproj", mmproj()}), {"media.gguf", "directory"});
  expect_error(tessera({"run", model(), "hi", "--mmproj", model()}), {"clip"});
}

TEST_F(CliGguf, InspectTokenizeAndTrace) {
  const Outcome text = tessera({"inspect", model(), "--mmproj", mmproj()});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* words :
       {"GGUF, 1 file and an mmproj", "vision and audio: ", "media.gguf", "F32", "12 layers"})
    EXPECT_NE(text.out.find(words), std::string::npos) << words << " in:\n" << text.out;
  const json report = json::parse(tessera({"inspect", model(), "--json"}).out);
  EXPECT_EQ(report["mmproj"], "");
  EXPECT_EQ(report["parameters"]["vision"], 0);
  EXPECT_EQ(tessera({"tokenize", model()}, "<|turn>user hi").out,
            tessera({"tokenize", kTiny}, "<|turn>user hi").out);

  write_file(*folder_ / "parts.json", R"(["Describe ", ["image", ")" + media("waves.png") + R"(", 70]])");
  // Kernels of one order of sums: amx multiplies bfloat16 weights by tiles, and the mmproj has float32 ones.
  const auto traced = [&](std::vector<std::string> arguments) {
    const std::string out = *folder_ / "out.safetensors";
    for (const std::string& more : {std::string("--parts"), *folder_ / "parts.json", std::string("--out"),
                                    out, std::string("--isa"), std::string("portable")})
      arguments.push_back(more);
    const Outcome outcome = tessera(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return read_file(out);
  };
  EXPECT_EQ(traced({"trace", model(), "--mmproj", mmproj()}), traced({"trace", kTiny})) << "bit for bit";
}

TEST_F(CliGguf, ChatOpensIt) {
  const Outcome outcome = tessera({"chat", model(), "-n", "3", "--temp", "0"}, "hi\n/bye\n");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(CliGguf, AModelNeedsAPrompt) {
  expect_usage_error(tessera({"run", model()}), "there is no prompt");
}

TEST_F(CliGguf, BrokenFilesAreErrors) {
  const Folder folder;
  const std::string whole = read_file(model()), path = folder / "cut.gguf";
  for (size_t i = 0; i < 64; i += 3) {
    write_file(path, whole.substr(0, whole.size() * i / 64));
    expect_error(tessera({"run", path, "hi"}), {"cut.gguf"});
  }
  GgufBytes f = tiny_gguf().model;
  f.add_to_tensor_count = int64_t{1} << 60;
  write_file(path, f.bytes());
  expect_error(tessera({"inspect", path}), {"cut.gguf", "the number of tensors"});
  expect_error(tessera({"tokenize", path}, "hi"), {"cut.gguf"});
  expect_error(tessera({"run", folder / "gone.gguf", "hi"}), {"gone.gguf"});
  expect_error(tessera({"run", "-m", folder.path(), "hi"}), {"config.json", "cut.gguf"});
}

}  // namespace
}  // namespace tessera::test
