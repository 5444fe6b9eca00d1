// tessera bench and tessera compare: what they print in each format, what they refuse.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program.h"

namespace tessera::test {
namespace {

using nlohmann::json;

const std::string kMini = TESSERA_SOURCE_DIR "/models/mini";

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

Outcome bench(std::vector<std::string> more) {
  std::vector<std::string> words = {"bench", kTiny, "-p", "5,20", "-n", "4", "-r", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return tessera(words);
}

TEST(CliBench, JsonHasEveryTestAndTheLimits) {
  const Outcome outcome = bench({"-d", "0,30", "--rows", "3", "-t", "2", "--chunk", "8", "-o", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  // A float weight is three products of bfloat16 where the CPU has a tile unit.
  const bool tiles = report["limits"]["bf16_ops_per_s"]["unit"] == "tdpbf16ps";
  std::vector<std::string> names;
  for (const auto& test : report["tests"]) {
    names.push_back(test["test"]);
    EXPECT_EQ(test["seconds"].size(), 2U);
    const auto& speed = test["tokens_per_s"];
    EXPECT_GT(speed["min"], 0.0);
    EXPECT_LE(speed["min"], speed["median"]);
    EXPECT_LE(speed["median"], speed["max"]);
    EXPECT_GT(test["gflop_per_s"], 0.0);
    EXPECT_EQ(test["peak"], tiles ? "bf16/3" : "f32");
    EXPECT_EQ(test.contains("percent_of_bandwidth"), test["kind"] != "prompt");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"pp5", "pp20", "tg4", "rows3", "pp5 @ d30", "pp20 @ d30",
                                             "tg4 @ d30", "rows3 @ d30"}));
  EXPECT_EQ(report["threads"], 2);
  EXPECT_EQ(report["chunk_tokens"], 8);
  EXPECT_EQ(report["context_tokens"], 50);
  EXPECT_EQ(report["model"]["name"], "tiny");
  EXPECT_EQ(report["model"]["format"], "BF16");
  EXPECT_GT(report["model"]["weight_bytes_per_pass"], 0);
  EXPECT_GT(report["load_s"], 0.0);
  EXPECT_GT(report["peak_rss_bytes"], 1 << 20);
  EXPECT_LT(report["peak_rss_bytes"], 1 << 30) << "the limits' buffer is not the model's";
  EXPECT_GT(report["limits"]["read_bytes_per_s"]["all_threads"], 0.0);
}

TEST(CliBench, TableAndRecord) {
  const Folder folder;
  const std::string record = folder / "record.csv";
  const Outcome first = bench({"--record", record});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  for (const char* words :
       {"tiny: BF16", "ready in", "pp5 ", "pp20 ", "tg4 ", "% ", "read bandwidth", "1 thread"})
    EXPECT_NE(first.out.find(words), std::string::npos) << words << " in:\n" << first.out;
  const Outcome second = bench({"--record", record, "-o", "csv"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  const auto kept = lines_of(read_file(record)), printed = lines_of(second.out);
  ASSERT_EQ(kept.size(), 7U) << "one header, two times three tests";
  ASSERT_EQ(printed.size(), 4U);
  EXPECT_EQ(kept[0], printed[0]);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(kept[i + 3], printed[i]);
  for (const auto& line : kept)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(kept[0].begin(), kept[0].end(), ','))
        << line;
  for (const char* column : {"date", "commit", "cpu", "cores", "memory_gib", "model", "tok_s_median"})
    EXPECT_NE(("," + kept[0] + ",").find("," + std::string(column) + ","), std::string::npos) << column;

  write_file(record, "time,value\n1,2\n");
  const Outcome other = bench({"--record", record});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_NE(other.err.find(record), std::string::npos) << other.err;
  EXPECT_EQ(read_file(record), "time,value\n1,2\n");
}

TEST(CliBench, OperationsOfEachStep) {
  const std::vector<std::string> words = {"bench", kTiny, "--operations", "-d", "30", "--rows", "3",
                                          "-r",    "2",   "-t",           "2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), words.begin(), words.end());
    return tessera(more);
  };
  const Outcome outcome = with({"-p", "8", "-o", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  std::vector<std::string> names;
  for (const auto& step : report["steps"]) {
    names.push_back(step["test"]);
    EXPECT_EQ(step["seconds"].size(), 2U);
    double percent = 0;
    int64_t bytes = 0;
    for (const auto& kind : step["operations"]) {
      EXPECT_GT(kind["calls"], 0) << kind;
      EXPECT_GT(kind["gb_per_s"], 0.0) << kind;
      EXPECT_GT(kind["percent_of_bandwidth"], 0.0) << kind;
      percent += kind["percent_of_step"].get<double>();
      bytes += kind["weight_bytes"].get<int64_t>();
    }
    EXPECT_NEAR(step["together"]["percent_of_step"].get<double>(), percent, 1e-6 * percent);
    EXPECT_EQ(step["together"]["weight_bytes"], bytes);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"pp8 @ d30", "tg1 @ d30", "rows3 @ d30"}));
  EXPECT_EQ(report["model"]["name"], "tiny");
  EXPECT_EQ(report["timed"], "in the step");
  EXPECT_GT(report["limits"]["read_bytes_per_s"]["all_threads"], 0.0);

  const Outcome table = with({});
  ASSERT_EQ(table.exit_code, 0) << table.err;
  for (const char* text : {"tiny: BF16", "one row at a depth of 30", "3 rows", "gate, up", "attend, sliding",
                           "together", "the whole step", "% read", "GFLOP/s", "read bandwidth"})
    EXPECT_NE(table.out.find(text), std::string::npos) << text << " in:\n" << table.out;
  EXPECT_EQ(table.out.find("prompt"), std::string::npos) << "only where -p is given:\n" << table.out;
}

TEST(CliBench, LimitsAlone) {
  const Outcome outcome = tessera({"bench", "--limits", "-o", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  for (const char* limit : {"read_bytes_per_s", "int8_ops_per_s", "f32_ops_per_s"})
    for (const char* threads : {"one_thread", "all_threads"})
      EXPECT_GT(report["limits"][limit][threads], 0.0) << limit << ' ' << threads;
  EXPECT_FALSE(report["machine"]["cpu"].get<std::string>().empty());
}

TEST(CliBench, WrongCommandLines) {
  expect_usage_error(tessera({"bench", kTiny, "-p", "many"}), "--prompt");
  expect_usage_error(tessera({"bench", kTiny, "-p", "-5"}), "--prompt");
  expect_usage_error(tessera({"bench", kTiny, "-n", "1,x"}), "--generate");
  expect_usage_error(tessera({"bench", kTiny, "-r", "0"}), "--repeats");
  expect_usage_error(tessera({"bench", kTiny, "-o", "xml"}), "--output");
  expect_usage_error(tessera({"bench", kTiny, "-p", "0", "-n", "0"}), "nothing to measure");
  expect_usage_error(tessera({"bench", kTiny, "--limits"}), "--limits");
  expect_usage_error(tessera({"bench", kTiny, "--ctx", "512"}), "--ctx");
  for (const std::vector<std::string>& other : {std::vector<std::string>{"--limits"},
                                                {"--parallel", "2"},
                                                {"--draft", "0.5"},
                                                {"--image-tokens", "70"}}) {
    std::vector<std::string> words = {"bench", kTiny, "--operations"};
    words.insert(words.end(), other.begin(), other.end());
    expect_usage_error(tessera(words), "--operations");
  }
  expect_usage_error(tessera({"bench", kTiny, "--operations", "-o", "csv"}), "no -o csv");
  expect_usage_error(tessera({"bench", kTiny, "--operations", "--record", "x.csv"}), "no --record");
  expect_usage_error(tessera({"bench", kTiny, "--operations", "-n", "0"}), "nothing to measure");
  expect_error(tessera({"bench", kTiny, "--operations", "-p", "600"}), {"600", "512", "chunk"});
  expect_error(tessera({"bench", kTiny, "-p", "5000"}), {"5000", "4096"});
  expect_error(tessera({"bench", kTiny, "-p", "0", "-n", "0", "--rows", "2000"}), {"2000", "1120"});
  expect_error(bench({"--record", "no/such/folder/file.csv"}), {"no/such/folder/file.csv"});
}

TEST(CliCompare, AModelWithItself) {
  const std::string text = "The train to Lyon leaves from platform 4 at 10:45. Mind the gap.";
  const Outcome outcome = tessera({"compare", kTiny, kTiny, "--text", "-", "--ctx", "16", "--json"}, text);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report["kl"]["mean"], 0.0);
  EXPECT_EQ(report["kl"]["max"], 0.0);
  EXPECT_EQ(report["same_top_percent"], 100.0);
  EXPECT_EQ(report["perplexity"]["reference"], report["perplexity"]["other"]);
  EXPECT_EQ(report["positions"], json::parse(tessera({"tokenize", kTiny, "--json"}, text).out).size());

  const Folder folder;
  write_file(folder / "text.txt", text);
  const Outcome table =
      tessera({"compare", kTiny, kTiny, "--text", folder / "text.txt", "--max-positions", "5"});
  ASSERT_EQ(table.exit_code, 0) << table.err;
  for (const char* words : {" 5 positions", "KL divergence", "100.00 %", "perplexity"})
    EXPECT_NE(table.out.find(words), std::string::npos) << words << " in:\n" << table.out;
}

TEST(CliCompare, WrongCommandLines) {
  expect_usage_error(tessera({"compare", kTiny, "--text", "x"}), "OTHER");
  expect_usage_error(tessera({"compare", kTiny, kTiny}), "--text");
  expect_usage_error(tessera({"compare", kTiny, kTiny, "--text", "-", "--ctx", "1"}), "--ctx");
  expect_error(tessera({"compare", kTiny, kTiny, "--text", "-"}), {"empty"});
  expect_error(tessera({"compare", kTiny, kTiny, "--text", "no/such/file"}), {"no/such/file"});
  expect_error(tessera({"compare", kTiny, kMini, "--text", "-"}, "hello"), {"vocabulary", "1024"});
}

}  // namespace
}  // namespace tessera::test
