// Files and requests that are broken, lying or too large: exit code 1 and one clear line, never a signal.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace tessera::test {
namespace {

using nlohmann::json;

std::string little(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

std::string big32(uint32_t value) {
  std::string text = little(value, 4);
  return {text.rbegin(), text.rend()};
}

uint32_t crc32(const std::string& bytes) {
  uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

std::string png_chunk(const std::string& type, const std::string& data) {
  return big32(static_cast<uint32_t>(data.size())) + type + data + big32(crc32(type + data));
}

/// A well-formed head of a PNG of any size, with next to no data behind it.
std::string png_bomb(uint32_t width, uint32_t height) {
  const std::string header = big32(width) + big32(height) + std::string("\x08\x02\x00\x00\x00", 5);
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", "\x78\x9c\x03") +
         png_chunk("IEND", "");
}

/// 16-bit mono 16 kHz; `claimed_bytes` is what the header says of `samples`.
std::string wav(const std::string& samples, uint32_t claimed_bytes, int channels = 1) {
  const std::string format = little(1, 2) + little(static_cast<uint64_t>(channels), 2) + little(16000, 4) +
                             little(32000, 4) + little(2, 2) + little(16, 2);
  return "RIFF" + little(36 + uint64_t{claimed_bytes}, 4) + "WAVEfmt " + little(16, 4) + format + "data" +
         little(claimed_bytes, 4) + samples;
}

Outcome ask(const std::string& model, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"run", "-m", model, "hi", "-n", "2", "--seed", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return tessera(arguments);
}

TEST(HostileModel, MissingAndEmptyFolders) {
  const Folder folder;
  expect_error(ask(folder / "nowhere"), {"nowhere"});
  expect_error(ask(folder.path()), {"config.json"});
  expect_error(tessera({"inspect", folder.path()}), {"config.json"});
  expect_error(tessera({"tokenize", folder.path()}, "hi"), {"tokenizer.json"});
}

TEST(HostileModel, MissingFiles) {
  for (const char* name : {"model.safetensors", "tokenizer.json"}) {
    const BrokenModel model;
    fs::remove(model / name);
    expect_error(ask(model.path()), {name == std::string("model.safetensors") ? "safetensors" : name});
  }
}

TEST(HostileModel, TruncatedWeights) {
  for (const uintmax_t kept :
       {uintmax_t{0}, uintmax_t{7}, uintmax_t{9}, uintmax_t{1000}, uintmax_t{100'000}}) {
    const BrokenModel model;
    ASSERT_LT(kept, fs::file_size(model / "model.safetensors"));
    fs::resize_file(model / "model.safetensors", kept);
    expect_error(ask(model.path()), {"model.safetensors"});
    expect_error(tessera({"inspect", model.path()}), {"model.safetensors"});
  }
}

TEST(HostileModel, LyingSafetensorsHeaders) {
  const std::string name = "model.language_model.norm.weight";
  const auto with_entry = [&](const std::string& entry) {
    const std::string header = "{\"" + name + "\":" + entry + "}";
    return little(header.size(), 8) + header + std::string(256, '\0');
  };
  const std::vector<std::string> files = {
      little(uint64_t{1} << 60, 8) + "{}",
      little(~uint64_t{0}, 8) + "{}",
      little(100, 8) + "{}",
      little(4, 8) + "null",
      little(2, 8) + "{]",
      with_entry(R"({"dtype":"BF16","shape":[9223372036854775807,4],"data_offsets":[0,8]})"),
      with_entry(R"({"dtype":"BF16","shape":[-4,-4],"data_offsets":[0,32]})"),
      with_entry(R"({"dtype":"BF16","shape":[64],"data_offsets":[128,0]})"),
      with_entry(R"({"dtype":"BF16","shape":[64],"data_offsets":[0,18446744073709551615]})"),
      with_entry(R"({"dtype":"BF17","shape":[64],"data_offsets":[0,128]})"),
      with_entry(R"({"dtype":"BF16","shape":"wide","data_offsets":[0,128]})"),
  };
  for (size_t i = 0; i < files.size(); ++i) {
    SCOPED_TRACE("file " + std::to_string(i));
    const BrokenModel model;
    write_file(model / "model.safetensors", files[i]);
    expect_error(ask(model.path()), {model.path()});
    expect_error(tessera({"inspect", model.path()}), {model.path()});
  }
}

TEST(HostileModel, Configs) {
  const json good = json::parse(read_file(kTiny + "/config.json"));
  const auto refused = [](const std::string& text) {
    SCOPED_TRACE(text.substr(0, 80));
    const BrokenModel model;
    write_file(model / "config.json", text);
    expect_error(ask(model.path()), {"config.json"});
  };
  refused("");
  refused("[]");
  refused("{");
  json config = good;
  config["model_type"] = "llama";
  refused(config.dump());
  for (const auto& [field, value] :
       std::vector<std::pair<std::string, json>>{{"hidden_size", 0},
                                                 {"hidden_size", -64},
                                                 {"hidden_size", 1 << 30},
                                                 {"num_hidden_layers", 1'000'000'000},
                                                 {"head_dim", 0},
                                                 {"num_key_value_heads", 0},
                                                 {"sliding_window", "wide"}}) {
    config = good;
    config["text_config"][field] = value;
    const BrokenModel model;
    write_file(model / "config.json", config.dump());
    SCOPED_TRACE(field + " = " + value.dump());
    expect_error(ask(model.path()), {});
  }
}

TEST(HostileModel, Tokenizers) {
  const json good = json::parse(read_file(kTiny + "/tokenizer.json"));
  const auto refused = [](const std::string& text) {
    const BrokenModel model;
    write_file(model / "tokenizer.json", text);
    expect_error(tessera({"tokenize", model.path()}, "hi"), {"tokenizer.json"});
    expect_error(ask(model.path()), {"tokenizer.json"});
  };
  refused("");
  refused("{}");
  json broken = good;
  broken["model"].erase("merges");
  refused(broken.dump());
  broken = good;
  broken["model"].erase("vocab");
  refused(broken.dump());
  broken = good;
  broken["model"]["merges"] = json::array({json::array({"not in", "the vocabulary"})});
  refused(broken.dump());
}

TEST(HostileMedia, Pictures) {
  const Folder folder;
  const std::vector<std::pair<std::string, std::string>> files = {
      {"empty.png", ""},
      {"text.png", "this is not a picture"},
      {"cut.png", read_file(media("shapes.png")).substr(0, 60)},
      {"signature.png", "\x89PNG\r\n\x1a\n"},
      {"bomb.png", png_bomb(60'000, 60'000)},
      {"larger.png", png_bomb(0x7fffffff, 0x7fffffff)},
      {"flat.png", png_bomb(0, 10)},
      {"jpeg.jpg", "\xff\xd8\xff\xe0"},
      {"svg.png", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"},
      {"playlist.png", "#EXTM3U\nhttp://127.0.0.1:9/a.png\n"},
      {"concat.png", "ffconcat version 1.0\nfile 'other.png'\n"},
  };
  for (const auto& [name, bytes] : files) {
    SCOPED_TRACE(name);
    write_file(folder / name, bytes);
    expect_error(ask(kTiny, {"--image", folder / name}), {name});
    expect_error(tessera({"inspect", "--image", folder / name}), {name});
    EXPECT_FALSE(fs::exists(folder / (name + ".seen.png")));
  }
  expect_error(ask(kTiny, {"--image", folder / "missing.png"}), {"missing.png"});
  expect_error(ask(kTiny, {"--image", folder.path()}), {folder.path()});
}

TEST(HostileMedia, TheBombIsRefusedWithBothNumbers) {
  const Folder folder;
  write_file(folder / "bomb.png", png_bomb(60'000, 60'000));
  const Outcome outcome = ask(kTiny, {"--image", folder / "bomb.png"});
  std::string digits;
  for (const char c : outcome.err) {
    if (c != ',' && c != '\'') digits += c;
  }
  EXPECT_NE(digits.find("60000"), std::string::npos) << outcome.err;
  EXPECT_NE(digits.find("150000000"), std::string::npos) << outcome.err;
}

TEST(HostileMedia, Sounds) {
  const Folder folder;
  const std::vector<std::pair<std::string, std::string>> files = {
      {"empty.wav", ""},
      {"text.wav", "this is not a sound"},
      {"zero.wav", wav("", 0)},
      {"lying.wav", wav("", 115'200'000)},
      {"most.wav", wav("", 0xffffffdb)},
      {"silent_channels.wav", wav(std::string(640, 'a'), 640, 0)},
      {"riff.wav", "RIFF\xff\xff\xff\xffWAVE"},
      {"picture.wav", read_file(media("tall.png"))},
  };
  for (const auto& [name, bytes] : files) {
    SCOPED_TRACE(name);
    write_file(folder / name, bytes);
    expect_error(ask(kTiny, {"--audio", folder / name}), {name});
  }
  expect_error(ask(kTiny, {"--audio", folder / "missing.wav"}), {"missing.wav"});
}

TEST(HostileMedia, ASoundThatClaimsMoreThanItHasIsHeardAsFarAsItGoes) {
  const Folder folder;
  write_file(folder / "short.wav", wav(std::string(6400, 'a'), 2'000'000'000));
  const Outcome outcome = ask(kTiny, {"--audio", folder / "short.wav"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST(HostileMedia, Videos) {
  const Folder folder;
  write_file(folder / "empty.mp4", "");
  write_file(folder / "text.mp4", "this is not a video");
  write_file(folder / "head.mp4", std::string("\0\0\0\x18"
                                              "ftypisom\0\0\2\0isomiso2",
                                              24));
  fs::copy_file(media("short.wav"), folder / "sound.mp4");
  for (const char* name : {"empty.mp4", "text.mp4", "head.mp4", "sound.mp4"}) {
    SCOPED_TRACE(name);
    expect_error(ask(kTiny, {"--video", folder / name}), {name});
  }
}

TEST(HostileRequest, APromptLongerThanTheContextIsRefusedWithBothNumbers) {
  std::string prompt;
  for (int i = 0; i < 300; ++i) prompt += "one more word ";
  const Outcome outcome = tessera({"run", kTiny, "-", "--ctx", "128"}, prompt);
  expect_error(outcome, {"128"});
  const size_t numbers = std::count_if(outcome.err.begin(), outcome.err.end(),
                                       [](unsigned char c) { return std::isdigit(c) != 0; });
  EXPECT_GE(numbers, 6U) << "the prompt's length is missing: " << outcome.err;
}

TEST(HostileRequest, AContextBeyondTheModelIsRefused) {
  expect_error(ask(kTiny, {"--ctx", "16000000"}), {"4096"});
}

TEST(HostileRequest, PlaceholdersAndMediaMustMatch) {
  expect_error(tessera({"run", kTiny, "see <|image|>", "-n", "1"}), {"1 ", "0 "});
  expect_error(
      tessera({"run", kTiny, "hear <|audio|> and <|audio|>", "--audio", media("short.wav"), "-n", "1"}),
      {"3 ", "1 "});
}

TEST(HostileRequest, BytesThatAreNotUtf8AreNoCrash) {
  const Outcome outcome = tessera({"run", kTiny, "-", "-n", "2", "--seed", "1"}, "\xff\xfe caf\xe9 \xf0\x9f");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST(HostileRequest, RenderRefusesWhatIsNoChat) {
  for (const std::string input : {"", "{", "[]", "{}", "null", R"({"messages":3})",
                                  R"({"messages":[{"content":"x"}]})", R"({"messages":["hi"]})"}) {
    SCOPED_TRACE(input);
    expect_error(tessera({"render"}, input), {});
  }
  expect_error(tessera({"render"}, std::string(200'000, '[')), {});
}

TEST(HostileRequest, DecodeRefusesWhatAreNoIds) {
  for (const char* input : {"1 x", "-1", "1.5", "99999999999", "1 2 999999"}) {
    SCOPED_TRACE(input);
    expect_error(tessera({"tokenize", kTiny, "--decode"}, input), {});
  }
}

TEST(HostileRequest, TraceRefusesBrokenParts) {
  const Folder folder;
  const std::string out = folder / "out.safetensors";
  const auto traced = [&](const std::string& parts) {
    write_file(folder / "parts.json", parts);
    return tessera({"trace", kTiny, "--parts", folder / "parts.json", "--out", out});
  };
  for (const char* parts : {"", "{}", "[]", "[1]", R"([["image"]])", R"([["image","missing.png",280]])",
                            R"([["ids",[1000000]]])", R"([["ids",[-1]]])", R"([["smell","a.txt"]])"}) {
    SCOPED_TRACE(parts);
    expect_error(traced(parts), {});
    EXPECT_FALSE(fs::exists(out));
  }
  write_file(folder / "parts.json", R"(["hi"])");
  expect_error(tessera({"trace", kTiny, "--parts", folder / "parts.json", "--out", out, "--backend", "cuda",
                        "--kv", "q8_0"}),
               {"cuda backend keeps K and V in bf16 or f32"});
  expect_error(tessera({"trace", kTiny, "--parts", folder / "none.json", "--out", out}), {"none.json"});
  expect_error(tessera({"trace", kTiny, "--parts", folder / "parts.json", "--out", folder / "no/such/out"}),
               {"out"});
}

TEST(HostileRequest, SynthIntoAFileIsRefused) {
  const Folder folder;
  write_file(folder / "taken", "x");
  expect_error(tessera({"synth", folder / "taken", "--layers", "2", "--tiny"}), {"taken"});
}

}  // namespace
}  // namespace tessera::test
