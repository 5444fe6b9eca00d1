// inspect, tokenize, render, trace and synth.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace tessera::test {
namespace {

using nlohmann::json;

TEST(CliRender, EveryGoldenByteForByte) {
  const json golden = json::parse(read_file(TESSERA_SOURCE_DIR "/tests/fixtures/chat/cases.json"));
  ASSERT_GE(golden["cases"].size(), 20U);
  for (const auto& item : golden["cases"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const Outcome outcome = tessera({"render"}, item["input"].dump());
    if (item["rendered"].is_object()) {
      expect_error(outcome, {});
    } else {
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
      EXPECT_EQ(outcome.out, item["rendered"].get<std::string>());
    }
  }
}

TEST(CliTokenize, ThereAndBack) {
  for (const std::string text : {"Flight BA 117 to New York departs from gate 22 at 10:45.", "a  b\n\n c\t",
                                 "Äpfel 你好 🙂", "<|turn>user\nhi<turn|>\n", ""}) {
    const Outcome ids = tessera({"tokenize", kTiny}, text);
    ASSERT_EQ(ids.exit_code, 0) << ids.err;
    EXPECT_EQ(std::count(ids.out.begin(), ids.out.end(), '\n'), 1);
    const Outcome back = tessera({"tokenize", kTiny, "--decode"}, ids.out);
    EXPECT_EQ(back.exit_code, 0) << back.err;
    EXPECT_EQ(back.out, text);
    const Outcome as_json = tessera({"tokenize", kTiny, "--json"}, text);
    std::string words;
    for (const int id : json::parse(as_json.out)) words += (words.empty() ? "" : " ") + std::to_string(id);
    EXPECT_EQ(words + "\n", ids.out);
    EXPECT_EQ(tessera({"tokenize", kTiny, "--decode"}, as_json.out).out, text);
  }
}

TEST(CliTokenize, TheIdsOfTheGoldenPrompt) {
  const json cases = json::parse(read_file(kTiny + "/cases.json"));
  const auto& text = cases.at(0);
  ASSERT_EQ(text["name"], "text");
  const json ids =
      json::parse(tessera({"tokenize", kTiny, "--json"}, text["parts"][0].get<std::string>()).out);
  EXPECT_EQ(ids.size() + 1, text["prompt_tokens"]) << "<bos> is not added by tokenize";
}

TEST(CliInspect, TheTinyModel) {
  const Outcome outcome = tessera({"inspect", kTiny});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* words : {"12 layers: 2 x (5 sliding + 1 global)", "hidden 64", "BF16", "KV cache",
                            "V is K", "Tokenizer", "vision tower", "available here", "whole context fits"}) {
    EXPECT_NE(outcome.out.find(words), std::string::npos) << words << " in:\n" << outcome.out;
  }
}

TEST(CliInspect, JsonAddsUp) {
  const json report = json::parse(tessera({"inspect", kTiny, "--json", "--ctx", "1000"}).out);
  const auto& parameters = report["parameters"];
  int64_t layers = 0, tensors = 0;
  for (const auto& layer : report["layers"]) layers += layer["parameters"].get<int64_t>();
  for (const auto& type : report["dtypes"]) tensors += type["parameters"].get<int64_t>();
  EXPECT_EQ(report["layers"].size(), 12U);
  EXPECT_EQ(parameters["text"].get<int64_t>(),
            parameters["embedding"].get<int64_t>() + layers + report["geometry"]["hidden"].get<int64_t>());
  EXPECT_EQ(parameters["total"].get<int64_t>(),
            parameters["text"].get<int64_t>() + parameters["vision"].get<int64_t>() +
                parameters["vision_projection"].get<int64_t>() + parameters["audio"].get<int64_t>());
  EXPECT_EQ(parameters["total"], tensors);
  EXPECT_EQ(report["memory"]["context_tokens"], 1000);
  EXPECT_GT(report["memory"]["kv_bytes"], 0);
  const json longer = json::parse(tessera({"inspect", kTiny, "--json", "--ctx", "2000"}).out);
  const auto& memory = longer["memory"];
  EXPECT_GT(memory["kv_bytes"], report["memory"]["kv_bytes"]);
  EXPECT_EQ(memory["total_bytes"].get<int64_t>(), memory["weight_bytes"].get<int64_t>() +
                                                      memory["kv_bytes"].get<int64_t>() +
                                                      memory["work_bytes"].get<int64_t>());
  EXPECT_EQ(memory["fits"], memory["total_bytes"] <= memory["available_bytes"]);
  const json narrow = json::parse(tessera({"inspect", kTiny, "--json", "--ctx", "2000", "--kv", "bf16"}).out);
  EXPECT_EQ(narrow["memory"]["kv_bytes"].get<int64_t>() * 2, memory["kv_bytes"].get<int64_t>());
}

TEST(CliInspect, WhatTheModelSeesOfAPicture) {
  const Folder folder;
  fs::copy_file(media("shapes.png"), folder / "shapes.png");
  const Outcome outcome = tessera({"inspect", "--image", folder / "shapes.png"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("266"), std::string::npos) << outcome.out;
  const std::string png = read_file(folder / "shapes.png.seen.png");
  ASSERT_GT(png.size(), 1000U);
  EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(png.substr(16, 8), std::string("\0\0\x03\x90\0\0\x02\xa0", 8)) << "912x672";

  const Outcome chosen = tessera({"inspect", kTiny, "--image", folder / "shapes.png", "--budget", "70",
                                  "--out", folder / "x.png", "--json"});
  const json report = json::parse(chosen.out);
  EXPECT_EQ(report["image"]["soft_tokens"], 63);
  EXPECT_EQ(report["image"]["seen"], folder / "x.png");
  EXPECT_EQ(report["geometry"]["hidden"], 64);
  EXPECT_EQ(read_file(folder / "x.png").substr(16, 8), std::string("\0\0\x01\xb0\0\0\x01\x50", 8))
      << "432x336";
}

TEST(CliTrace, WritesWhatTheModelComputed) {
  const Folder folder;
  write_file(folder / "parts.json",
             R"(["Describe ", ["image", ")" + media("waves.png") + R"(", 70], ["ids", [5, 6]]])");
  const std::string out = folder / "out.safetensors";
  const Outcome outcome =
      tessera({"trace", kTiny, "--parts", folder / "parts.json", "--out", out, "--greedy", "3"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string bytes = read_file(out);
  ASSERT_GT(bytes.size(), 8U);
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<uint8_t>(bytes[static_cast<size_t>(i)]);
  ASSERT_LT(length, bytes.size());
  const json header = json::parse(bytes.substr(8, length));
  for (const char* name : {"input_ids", "logits", "greedy"}) EXPECT_TRUE(header.contains(name)) << name;
  EXPECT_EQ(header["logits"]["shape"].back(), 1024);
  EXPECT_EQ(header["logits"]["shape"][0], header["input_ids"]["shape"].back());
  EXPECT_EQ(header["greedy"]["shape"].back(), 3);
}

TEST(CliSynth, WritesAModelThatRuns) {
  const Folder folder;
  const Outcome outcome = tessera({"synth", folder / "model", "--layers", "6", "--tiny"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json report = json::parse(tessera({"inspect", folder / "model", "--json"}).out);
  EXPECT_EQ(report["layers"].size(), 6U);
  write_file(folder / "parts.json", R"([["ids", [2, 5, 6]]])");
  const Outcome traced = tessera({"trace", folder / "model", "--parts", folder / "parts.json", "--out",
                                  folder / "out.safetensors", "--last"});
  EXPECT_EQ(traced.exit_code, 0) << traced.err;
}

}  // namespace
}  // namespace tessera::test
