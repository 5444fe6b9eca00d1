// quantize and convert from the command line.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace tessera::test {
namespace {

using nlohmann::json;

TEST(CliQuantize, WritesAModelAndItsMmprojThatTheOtherCommandsTake) {
  const Folder folder;
  const Outcome outcome = tessera({"quantize", kTiny, folder / "tiny.gguf", "--type", "q8_0", "--mmproj",
                                   folder / "mmproj-tiny.gguf", "--threads", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("Q8_0"), std::string::npos) << outcome.err;
  const json report = json::parse(tessera({"inspect", folder / "tiny.gguf", "--json"}).out);
  EXPECT_EQ(report["layers"].size(), 12U);
  write_file(folder / "parts.json", R"(["Describe ", ["image", ")" + media("waves.png") + R"(", 70]])");
  const Outcome traced = tessera({"trace", folder / "tiny.gguf", "--parts", folder / "parts.json", "--out",
                                  folder / "out.safetensors", "--greedy", "3"});
  EXPECT_EQ(traced.exit_code, 0) << traced.err;
}

TEST(CliQuantize, SaysWhatCouldNotBeAsAskedFor) {
  const Folder folder;
  const Outcome outcome = tessera({"quantize", kTiny, folder / "x.gguf", "--type", "q4_k"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("note: "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("written as Q8_0"), std::string::npos) << outcome.err;
}

TEST(CliQuantize, Errors) {
  const Folder folder;
  expect_usage_error(tessera({"quantize", kTiny, folder / "x.gguf"}), "--type");
  expect_usage_error(tessera({"quantize", kTiny, folder / "x.gguf", "--type", "q9"}), "q9");
  expect_error(tessera({"quantize", folder / "none", folder / "x.gguf", "--type", "q8_0"}), {"none"});
  expect_error(tessera({"quantize", kTiny, folder / "no/x.gguf", "--type", "q8_0"}), {"no/x.gguf"});
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(CliQuantize, HelpSaysWhatQ4KIs) {
  const Outcome outcome = tessera({"quantize", "--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* words : {"--type", "--mmproj", "embedding Q6_K", "Q4_K_M", "Examples:"})
    EXPECT_NE(outcome.out.find(words), std::string::npos) << words << " in:\n" << outcome.out;
}

TEST(CliConvert, ToMlxAndBack) {
  const Folder folder;
  Outcome outcome =
      tessera({"convert", kTiny, folder / "mlx", "--to", "mlx", "--bits", "8", "--group", "32"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(tessera({"inspect", folder / "mlx"}).exit_code, 0);
  outcome = tessera({"convert", folder / "mlx", folder / "hf", "--to", "hf"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("note: "), std::string::npos) << outcome.err;
  EXPECT_EQ(tessera({"inspect", folder / "hf"}).exit_code, 0);
  expect_error(tessera({"convert", kTiny, folder / "hf", "--to", "hf"}), {"already holds a model"});
  expect_usage_error(tessera({"convert", kTiny, folder / "x"}), "--to");
  expect_error(tessera({"convert", kTiny, folder / "x", "--to", "hf", "--bits", "4"}), {"belong to mlx"});
}

}  // namespace
}  // namespace tessera::test
