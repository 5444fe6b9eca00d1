// tessera chat with lines from a pipe: commands, dropped files, saved conversations.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace tessera::test {
namespace {

using nlohmann::json;

Outcome chat(const std::string& input, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"chat", kTiny, "-n", "6", "--temp", "0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return tessera(arguments, input);
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// The saved conversation of a chat that was given `input`.
json saved_after(const std::string& input) {
  const Folder folder;
  const std::string file = folder / "chat.json";
  const Outcome outcome = chat(input + "/save " + file + "\n");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return json::parse(read_file(file));
}

TEST(CliChat, AnswersEachLine) {
  const json saved = saved_after("Hello.\nAnd again.\n");
  ASSERT_EQ(saved["turns"].size(), 4U);
  EXPECT_EQ(saved["turns"][0]["text"], "Hello.");
  EXPECT_EQ(saved["turns"][1]["role"], "assistant");
  EXPECT_EQ(saved["turns"][2]["text"], "And again.");
}

TEST(CliChat, TheFirstAnswerIsThatOfRun) {
  const Outcome one = tessera({"run", kTiny, "Hello.", "-n", "6", "--temp", "0"});
  EXPECT_EQ(chat("Hello.\n").out, one.out);
}

TEST(CliChat, ASecondAnswerReadsOnlyWhatIsNew) {
  const Outcome outcome = chat("Tell me about the gate and the flight.\nAnd then?\n/stats\n");
  EXPECT_NE(outcome.err.find("from cache)"), std::string::npos) << outcome.err;
}

TEST(CliChat, BlocksOfManyLines) {
  const json saved = saved_after("\"\"\"one\ntwo\n\n three\"\"\"\n");
  ASSERT_EQ(saved["turns"].size(), 2U);
  EXPECT_EQ(saved["turns"][0]["text"], "one\ntwo\n\n three");
}

TEST(CliChat, FilesAreAttachedByCommandByNameAndByDrop) {
  const Folder folder;
  fs::copy_file(media("waves.png"), folder / "two words.png");
  std::string escaped = folder / "two words.png", address = "file://" + escaped;
  escaped.insert(escaped.find(' '), 1, '\\');
  address.replace(address.find(' '), 1, "%20");
  const std::vector<std::string> lines = {
      "/image " + media("waves.png") + "\nWhat's this?\n",
      "/image '" + (folder / "two words.png") + "'\nWhat's this?\n",
      media("waves.png") + "\nWhat's this?\n",
      "'" + (folder / "two words.png") + "' What's this?\n",
      "\"" + (folder / "two words.png") + "\" What's this?\n",
      "What's " + escaped + " this?\n",
      address + " What's this?\n",
  };
  for (const auto& line : lines) {
    SCOPED_TRACE(line);
    const json saved = saved_after(line);
    ASSERT_EQ(saved["turns"].size(), 2U);
    const auto& turn = saved["turns"][0];
    ASSERT_EQ(turn["media"].size(), 1U);
    EXPECT_EQ(turn["media"][0]["type"], "image");
    EXPECT_EQ(count(turn["text"], ".png"), 0U) << turn["text"];
    EXPECT_EQ(count(turn["text"], "What's"), 1U) << turn["text"];
  }
}

TEST(CliChat, TextThatOnlyLooksLikeAFileStaysText) {
  for (const std::string line : {"it's 'quoted' here", "see missing.png please", "/no/such/file.png",
                                 "a \"b c\" d\\ e", "'unclosed quote.png"}) {
    const json saved = saved_after(line + "\n");
    ASSERT_EQ(saved["turns"].size(), 2U) << line;
    EXPECT_EQ(saved["turns"][0]["text"], line);
  }
}

TEST(CliChat, ASoundGoesToo) {
  const json saved = saved_after("/audio " + media("chirp.wav") + "\nTranscribe.\n");
  EXPECT_EQ(saved["turns"][0]["media"][0]["type"], "audio");
}

TEST(CliChat, ASavedConversationGoesOnAsIfItHadNotStopped) {
  const Folder folder;
  const std::string file = folder / "chat.json";
  const std::string first = media("waves.png") + " What is it?\nAnd why?\n";
  const Outcome whole = chat(first + "Sure?\n");
  const Outcome saved = chat(first + "/save " + file + "\n");
  const Outcome loaded = chat("/load " + file + "\nSure?\n");
  ASSERT_EQ(loaded.exit_code, 0) << loaded.err;
  EXPECT_EQ(saved.out + loaded.out, whole.out);
}

TEST(CliChat, ClearStartsOver) {
  const Outcome once = chat("Hello.\n");
  const Outcome twice = chat("Hello.\n/clear\nHello.\n");
  EXPECT_EQ(twice.out, once.out + once.out);
}

TEST(CliChat, SystemAndThinkAreKept) {
  const json saved = saved_after("/system Be brief.\n/think on\nHello.\n");
  EXPECT_EQ(saved["system"], "Be brief.");
  EXPECT_EQ(saved["think"], true);
  EXPECT_EQ(saved_after("/system Be brief.\n/system -\n/think on\n/think off\n")["system"], "");
}

TEST(CliChat, AWrongCommandIsSaidAndTheChatGoesOn) {
  const Outcome outcome =
      chat("/paint\n/think maybe\n/image\n/image missing.png\n/load missing.json\nHello.\n");
  EXPECT_EQ(outcome.exit_code, 0) << "the last line was answered";
  EXPECT_EQ(count(outcome.err, "error: "), 5U) << outcome.err;
  EXPECT_NE(outcome.out, "");
}

TEST(CliChat, AnErrorOnTheLastLineIsTheExitCode) {
  EXPECT_EQ(chat("Hello.\n/paint\n").exit_code, 1);
}

TEST(CliChat, AQuestionThatDoesNotFitIsTakenBack) {
  std::string large;
  for (int i = 0; i < 400; ++i) large += "word ";
  const Outcome alone = chat("Hello.\n", {"--ctx", "200"});
  const Outcome outcome = chat(large + "\nHello.\n", {"--ctx", "200"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("200"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out, alone.out);
}

TEST(CliChat, ByeAndHelp) {
  const Outcome outcome = chat("/help\n/bye\nnot asked\n");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.out.find("/save FILE"), std::string::npos);
  EXPECT_EQ(outcome.err, "");
}

TEST(CliChat, BrokenSavedFilesAreRefused) {
  const Folder folder;
  const std::string file = folder / "chat.json";
  for (const char* text :
       {"", "[]", "{}", R"({"tessera_chat":99,"turns":[]})", R"({"tessera_chat":1,"turns":[{}]})",
        R"({"tessera_chat":1,"turns":[{"role":"user","text":"x","media":[{"type":"image","name":"a"}]}]})",
        R"({"tessera_chat":1,"turns":[{"role":"user","text":"x",
                              "media":[{"type":"image","name":"a","budget":280,"data":"!!"}]}]})"}) {
    SCOPED_TRACE(text);
    write_file(file, text);
    const Outcome outcome = chat("/load " + file + "\n");
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(count(outcome.err, "error: "), 1U) << outcome.err;
  }
}

}  // namespace
}  // namespace tessera::test
