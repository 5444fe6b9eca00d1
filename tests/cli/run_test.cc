// tessera run on the tiny checkpoint: what is printed where, and that flags do what their help says.
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace tessera::test {
namespace {

using nlohmann::json;

json run_json(std::vector<std::string> more, const std::string& seed = "7") {
  std::vector<std::string> arguments = {"run", "-m", kTiny, "--json", "--seed", seed};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = tessera(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return json::parse(outcome.out);
}

TEST(CliRun, JsonHasEveryField) {
  const json reply = run_json({"Which gate?", "-n", "6"});
  for (const char* key :
       {"text", "thought", "tool_calls", "finish_reason", "usage", "timings", "seed", "model"}) {
    EXPECT_TRUE(reply.contains(key)) << key;
  }
  EXPECT_EQ(reply["seed"], 7);
  EXPECT_GT(reply["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(reply["usage"]["total_tokens"],
            reply["usage"]["prompt_tokens"].get<int>() + reply["usage"]["completion_tokens"].get<int>());
  EXPECT_LE(reply["usage"]["completion_tokens"], 6);
  EXPECT_GT(reply["timings"]["prefill_ms"], 0.0);
}

TEST(CliRun, StreamedTextIsTheTextOfTheJson) {
  const json reply = run_json({"Which gate?", "-n", "12"});
  const Outcome outcome = tessera({"run", kTiny, "Which gate?", "-n", "12", "--seed", "7"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  std::string text = reply["text"];
  if (!text.ends_with("\n") && !text.empty()) text += "\n";
  EXPECT_EQ(outcome.out, text);
}

TEST(CliRun, TheAnswerIsOfTheSchema) {
  const std::string schema =
      R"({"type":"object","properties":{"gate":{"enum":["A1","B2"]},"n":{"type":"integer"}},"required":["gate","n"]})";
  const Folder folder;
  write_file(folder / "schema.json", schema);
  for (const std::string& argument : {schema, folder / "schema.json"}) {
    const json reply = run_json({"Which gate?", "--json-schema", argument});
    const json answer = json::parse(reply["text"].get<std::string>());
    EXPECT_TRUE(answer["gate"] == "A1" || answer["gate"] == "B2");
    EXPECT_TRUE(answer["n"].is_number_integer());
    EXPECT_FALSE(reply.contains("warning"));
  }
  EXPECT_TRUE(run_json({"Which gate?", "--json-schema", schema, "-n", "2"}).contains("warning"));
  const Outcome refused = tessera({"run", kTiny, "hi", "--json-schema", R"({"not":{}})"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.err.find("json_schema at #: \"not\" is not supported"), std::string::npos) << refused.err;
}

TEST(CliRun, LogprobsComeWithTheJson) {
  const json reply = run_json({"Which gate?", "-n", "5", "--logprobs", "2"});
  ASSERT_EQ(reply["logprobs"].size(), reply["usage"]["completion_tokens"]);
  for (const json& token : reply["logprobs"]) {
    EXPECT_EQ(token["top"].size(), 2U);
    EXPECT_LE(token["logprob"], token["top"][0]["logprob"]);
  }
}

TEST(CliRun, TheSeedAndTemperatureZeroDecide) {
  const auto text = [](const std::vector<std::string>& more, const std::string& seed = "7") {
    return run_json(more, seed)["text"].get<std::string>();
  };
  EXPECT_EQ(text({"hi", "-n", "16"}), text({"hi", "-n", "16"}));
  EXPECT_NE(text({"hi", "-n", "16"}), text({"hi", "-n", "16"}, "8"));
  EXPECT_EQ(text({"hi", "-n", "16", "--temp", "0"}), text({"hi", "-n", "16", "--temp", "0"}, "8"));
  EXPECT_EQ(text({"hi", "-n", "16", "--top-k", "1"}), text({"hi", "-n", "16", "--temp", "0"}));
}

TEST(CliRun, PinnedThreadsAndLockedMemoryDoNotChangeTheAnswer) {
  const std::string text = run_json({"hi", "-n", "16"})["text"];
  EXPECT_EQ(run_json({"hi", "-n", "16", "--pin", "--threads", "2"})["text"], text);
  const Outcome locked =
      tessera({"run", "-m", kTiny, "hi", "-n", "16", "--seed", "7", "--json", "--mlock", "--ctx", "64"});
  if (locked.exit_code == 0) {
    EXPECT_EQ(json::parse(locked.out)["text"], text);
  } else {  // this user may not lock as much
    EXPECT_NE(locked.err.find("RLIMIT_MEMLOCK"), std::string::npos) << locked.err;
  }
}

TEST(CliRun, ThreadsAndChunksDoNotChangeTheAnswer) {
  const auto text = [](const std::vector<std::string>& more) {
    return run_json(more)["text"].get<std::string>();
  };
  const std::string image = media("waves.png");
  const std::string one = text({"What is it?", "--image", image, "-n", "12", "-t", "1"});
  EXPECT_EQ(text({"What is it?", "--image", image, "-n", "12", "-t", "2"}), one);
  EXPECT_EQ(text({"What is it?", "--image", image, "-n", "12", "-t", "1", "--chunk", "7"}), one);
}

TEST(CliRun, MediaCostWhatTheirBudgetSays) {
  const auto tokens = [](const std::vector<std::string>& more) {
    return run_json(more)["usage"]["prompt_tokens"].get<int>();
  };
  const int plain = tokens({"Look.", "-n", "1"});
  // Begin marker, soft tokens, end marker: 210x130 gives 6x10 patches at 70, 640x480 gives 14x19 at 280.
  EXPECT_EQ(tokens({"Look.", "-n", "1", "--image", media("waves.png"), "--budget", "70"}), plain + 60 + 2);
  EXPECT_EQ(tokens({"Look.", "-n", "1", "--image", media("shapes.png")}), plain + 266 + 2);
  EXPECT_EQ(tokens({"Look.", "-n", "1", "--image", media("shapes.png"), "--image", media("shapes.png")}),
            plain + 2 * (266 + 2));
  // 500 samples: one frame of 640.
  EXPECT_EQ(tokens({"Look.", "-n", "1", "--audio", media("short.wav")}), plain + 1 + 2);
}

TEST(CliRun, VideosCostTheirFramesAndTheirSound) {
  const std::string video = TESSERA_SOURCE_DIR "/tests/fixtures/media/with_sound.mp4";
  const auto tokens = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"Look.", "-n", "1", "--video", video};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_json(arguments)["usage"]["prompt_tokens"].get<int>();
  };
  const int four = tokens({"--frames", "4"});
  EXPECT_LT(tokens({"--frames", "2"}), four);
  EXPECT_GT(tokens({"--frames", "4", "--frame-budget", "140"}), four + 4 * 40);
  EXPECT_GT(tokens({"--frames", "4", "--video-sound"}), four + 2);
  const std::string silent = TESSERA_SOURCE_DIR "/tests/fixtures/media/index_h264.mp4";
  expect_error(tessera({"run", kTiny, "Look.", "--video", silent, "--video-sound"}),
               {"index_h264.mp4", "sound"});
}

TEST(CliRun, TheOrderOfPicturesIsKept) {
  const auto text = [](const std::string& first, const std::string& second) {
    return run_json(
        {"Compare.", "-n", "24", "--temp", "0", "--image", media(first), "--image", media(second)})["text"];
  };
  EXPECT_EQ(text("waves.png", "tall.png"), text("waves.png", "tall.png"));
  EXPECT_NE(text("waves.png", "tall.png"), text("tall.png", "waves.png"));
}

TEST(CliRun, APictureNeedsNoPrompt) {
  const Outcome outcome = tessera({"run", kTiny, "--image", media("waves.png"), "-n", "2", "--seed", "1"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST(CliRun, ThePromptMayComeFromStandardInput) {
  const json direct = run_json({"Which gate?", "-n", "8"});
  const Outcome outcome =
      tessera({"run", "-m", kTiny, "--json", "--seed", "7", "-", "-n", "8"}, "Which gate?");
  EXPECT_EQ(json::parse(outcome.out)["text"], direct["text"]);
}

TEST(CliRun, TheSystemTextIsPartOfThePrompt) {
  const int plain = run_json({"hi", "-n", "1"})["usage"]["prompt_tokens"];
  EXPECT_GT(run_json({"hi", "-n", "1", "--system", "Be brief."})["usage"]["prompt_tokens"], plain + 3);
}

TEST(CliRun, StatsGoToStandardError) {
  const Outcome outcome = tessera({"run", kTiny, "hi", "-n", "4", "--seed", "7", "--stats"});
  EXPECT_NE(outcome.err.find("tokens read"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("seed 7"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out.find("tokens read"), std::string::npos);
}

TEST(CliRun, TheLimitOfTokensIsSaid) {
  const Outcome outcome = tessera({"run", kTiny, "hi", "-n", "2", "--temp", "0"});
  const json reply = run_json({"hi", "-n", "2", "--temp", "0"});
  ASSERT_EQ(reply["usage"]["completion_tokens"], 2)
      << "the tiny model ended by itself: choose another prompt";
  EXPECT_EQ(reply["finish_reason"], "length");
  EXPECT_NE(outcome.err.find("limit of 2 tokens"), std::string::npos) << outcome.err;
}

TEST(CliRun, TheModelMayComeFromTheEnvironment) {
  const Outcome outcome =
      tessera({"run", "hi", "-n", "2", "--seed", "7", "--json"}, "", {"TESSERA_MODEL=" + kTiny});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(json::parse(outcome.out)["model"], kTiny);
}

TEST(CliRun, BackendsAgreeOnTheLikeliestTokens) {
  const auto text = [](const std::string& backend) {
    return run_json({"Which gate?", "-n", "8", "--temp", "0", "--backend", backend})["text"];
  };
  EXPECT_EQ(text("cpu"), text("ref"));
}

TEST(CliRun, AReaderThatLeavesIsNoError) {
  // The shell reports the exit code of the program at the head of the pipe on descriptor 3.
  const std::string command = std::string("{ { ") + TESSERA_BINARY + " run " + kTiny +
                              " hi -n 400 --temp 0 2>&1; echo $? >&3; } | head -c 1 >/dev/null; } 3>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char code[16] = {};
  EXPECT_NE(std::fgets(code, sizeof code, pipe), nullptr);
  ::pclose(pipe);
  EXPECT_EQ(std::string(code), "0\n");
}

}  // namespace
}  // namespace tessera::test
