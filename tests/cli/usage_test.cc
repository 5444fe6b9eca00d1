// Help, versions, exit codes and messages of the command line itself.
#include "cli/program.h"

namespace tessera::test {
namespace {

const std::vector<std::string> kCommands = {"run",   "chat",  "inspect", "tokenize", "render",
                                            "trace", "bench", "compare", "synth"};

TEST(CliUsage, EveryCommandHasHelpWithExamples) {
  for (const auto& command : kCommands) {
    const Outcome outcome = tessera({command, "--help"});
    EXPECT_EQ(outcome.exit_code, 0) << command;
    EXPECT_EQ(outcome.err, "") << command;
    EXPECT_NE(outcome.out.find("Usage: tessera " + command), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("Examples:\n"), std::string::npos) << outcome.out;
    EXPECT_TRUE(outcome.out.ends_with("\n") && !outcome.out.ends_with("\n\n")) << outcome.out;
  }
}

TEST(CliUsage, TheMainHelpNamesEveryCommand) {
  const Outcome outcome = tessera({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const auto& command : kCommands) {
    EXPECT_NE(outcome.out.find("\n  " + command + " "), std::string::npos) << command << " in:\n"
                                                                           << outcome.out;
  }
}

TEST(CliUsage, HelpFitsAndListsEveryFlag) {
  const std::vector<std::string> flags = {"--model",
                                          "--image",
                                          "--audio",
                                          "--video",
                                          "--budget",
                                          "--frame-budget",
                                          "--frames",
                                          "--fps",
                                          "--video-sound",
                                          "--max-tokens",
                                          "--temp",
                                          "--top-k",
                                          "--top-p",
                                          "--min-p",
                                          "--repeat-penalty",
                                          "--presence-penalty",
                                          "--frequency-penalty",
                                          "--seed",
                                          "--stop",
                                          "--think",
                                          "--json",
                                          "--system",
                                          "--stats",
                                          "--ctx",
                                          "--threads",
                                          "--chunk",
                                          "--backend",
                                          "--device",
                                          "--gpus",
                                          "--gpu-layers",
                                          "--isa"};
  const std::string help = tessera({"run", "--help"}).out;
  for (const auto& flag : flags) EXPECT_NE(help.find(flag), std::string::npos) << flag;
  for (const auto& command : kCommands) {
    const std::string text = tessera({command, "--help"}).out;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      EXPECT_LE(end - at, 120U) << command << ": " << text.substr(at, end - at);
      at = end + 1;
    }
  }
}

TEST(CliUsage, Version) {
  const Outcome outcome = tessera({"--version"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.out.starts_with("tessera ")) << outcome.out;
  EXPECT_NE(outcome.out.find_first_of("0123456789"), std::string::npos);
}

TEST(CliUsage, WrongCommandLinesExitWithTwo) {
  expect_usage_error(tessera({}), "command");
  expect_usage_error(tessera({"paint"}), "paint");
  expect_usage_error(tessera({"run"}), "prompt is empty");
  expect_usage_error(tessera({"run", ""}), "prompt is empty");
  expect_usage_error(tessera({"run", " \n"}), "prompt is empty");
  expect_usage_error(tessera({"run", "-"}), "prompt is empty");
  expect_usage_error(tessera({"run", "--bogus", "hi"}), "--bogus");
  expect_usage_error(tessera({"run", "why", "is", "it"}), "quotes");
  expect_usage_error(tessera({"run", "-m", kTiny, "why", "not"}), "quotes");
  expect_usage_error(tessera({"run", kTiny}), "is a model");
  expect_usage_error(tessera({"run", "--image"}), "--image");
  expect_usage_error(tessera({"run", kTiny, "hi", "--budget", "100"}), "100");
  expect_usage_error(tessera({"run", kTiny, "hi", "--max-tokens", "0"}), "--max-tokens");
  expect_usage_error(tessera({"run", kTiny, "hi", "--temp", "warm"}), "--temp");
  expect_usage_error(tessera({"run", kTiny, "hi", "--top-p", "1.5"}), "--top-p");
  expect_usage_error(tessera({"run", kTiny, "hi", "--seed", "-1"}), "--seed");
  expect_usage_error(tessera({"run", kTiny, "hi", "--backend", "abacus"}), "abacus");
  expect_usage_error(tessera({"inspect", kTiny, "--image", media("tall.png"), "--budget", "1"}), "--budget");
  expect_usage_error(tessera({"trace", kTiny}), "required");
  expect_usage_error(tessera({"synth", "--layers", "2"}), "required");
  expect_usage_error(tessera({"tokenize", kTiny, "--json", "--decode"}), "--decode");
}

TEST(CliUsage, NoColourInFilesAndPipes) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"run", kTiny, "hi", "-n", "4", "--stats", "--think", "--seed", "1"},
           {"run", kTiny, "hi", "--bogus"},
           {"inspect", kTiny}}) {
    const Outcome outcome = tessera(arguments);
    EXPECT_EQ((outcome.out + outcome.err).find('\x1b'), std::string::npos) << outcome.out << outcome.err;
  }
}

TEST(CliUsage, AFullDiskIsAnError) {
  const Outcome outcome = tessera({"--help"}, "", {}, "/dev/full");
  expect_error(outcome, {"standard output"});
}

}  // namespace
}  // namespace tessera::test
