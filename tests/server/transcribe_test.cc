// /v1/audio/transcriptions and /v1/audio/translations: forms, segments, formats.
#include <cmath>

#include "base/base64.h"
#include "client.h"
#include "server/multipart.h"
#include "server/transcript.h"

namespace tessera::server {
namespace {

// 16 kHz mono, 16 bits: a tone with a pause at second 22 of each half minute.
std::string wav(int seconds) {
  const uint32_t bytes = static_cast<uint32_t>(seconds) * 32000;
  std::string out = "RIFF";
  const auto put = [&](uint32_t value, int size) {
    for (int i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i));
  };
  put(36 + bytes, 4);
  out += "WAVEfmt ";
  put(16, 4), put(1, 2), put(1, 2), put(16000, 4), put(32000, 4), put(2, 2), put(16, 2);
  out += "data";
  put(bytes, 4);
  for (int i = 0; i < seconds * 16000; ++i) {
    const bool pause = i / 16000 % 30 == 22;
    put(pause ? 0 : static_cast<uint32_t>(8000 * std::sin(i * 0.05)) & 0xFFFF, 2);
  }
  return out;
}

std::string form(std::initializer_list<std::pair<std::string, std::string>> fields) {
  std::string body;
  for (const auto& [name, value] : fields) {
    body += "--xYz\r\nContent-Disposition: form-data; name=\"" + name + "\"" +
            (name == "file" ? "; filename=\"a.wav\"" : "") + "\r\n\r\n" + value + "\r\n";
  }
  return body + "--xYz--\r\n";
}

class Transcribe : public ScriptedServer {
 protected:
  Answer send(const std::string& body, const std::string& path = "/v1/audio/transcriptions") {
    return ask(port(), "POST", path, body, "Content-Type: multipart/form-data; boundary=xYz\r\n");
  }
};

TEST_F(Transcribe, ASoundInAMessageMayBeAsLongAsThePropsSay) {
  options_.media.limits.max_audio_s = 2;
  start();
  EXPECT_EQ(get("/props").json()["max_audio_s"], 2);
  model_->play({{text_event("x")}});
  const auto status = [&](int seconds) {
    const std::string bytes = wav(seconds);
    const Json sound = {
        {"data", base64_encode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()})},
        {"format", "wav"}};
    const Json content = Json::array({{{"type", "input_audio"}, {"input_audio", sound}}});
    return post("/v1/chat/completions",
                {{"messages", Json::array({{{"role", "user"}, {"content", content}}})}})
        .status;
  };
  EXPECT_EQ(status(2), 200);
  EXPECT_EQ(status(3), 413);
}

TEST_F(Transcribe, Formats) {
  start();
  model_->play({{text_event(" Hello\nthere. ")}});
  const auto answer = [&](const std::string& format) {
    return send(form({{"file", wav(2)}, {"model", "m"}, {"response_format", format}}));
  };
  EXPECT_EQ(answer("json").json()["text"], "Hello there.");
  EXPECT_EQ(answer("text").body, "Hello there.\n");
  EXPECT_EQ(answer("srt").body, "1\n00:00:00,000 --> 00:00:02,000\nHello there.\n\n");
  EXPECT_EQ(answer("vtt").body, "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello there.\n\n");
  const Json verbose = answer("verbose_json").json();
  EXPECT_EQ(verbose["task"], "transcribe");
  EXPECT_DOUBLE_EQ(verbose["duration"].get<double>(), 2.0);
  EXPECT_EQ(verbose["segments"][0]["text"], "Hello there.");
  EXPECT_EQ(answer("doc").status, 400);
}

TEST_F(Transcribe, LongRecordingsAreCutInPausesAndStitched) {
  start();
  model_->play({{text_event("part")}});
  const Json json = send(form({{"file", wav(70)}, {"response_format", "verbose_json"}})).json();
  EXPECT_EQ(json["text"], "part part part");
  ASSERT_EQ(json["segments"].size(), 3U) << json.dump();
  double at = 0;
  for (const auto& segment : json["segments"]) {
    EXPECT_DOUBLE_EQ(segment["start"].get<double>(), at);
    at = segment["end"].get<double>();
    EXPECT_LE(at - segment["start"].get<double>(), 30.0);
  }
  EXPECT_DOUBLE_EQ(at, 70.0);
  EXPECT_NEAR(json["segments"][0]["end"].get<double>(), 22.5, 0.5);
  const Answer stream = send(form({{"file", wav(70)}, {"stream", "true"}}));
  EXPECT_EQ(stream.events().back()["text"], "part part part");
}

TEST_F(Transcribe, ThePromptIsThePublishedOneWithTheSoundAfterIt) {
  start();
  model_->play({{text_event("Hallo\nEnglish: Hello")}});
  ASSERT_EQ(send(form({{"file", wav(1)}, {"language", "de"}})).status, 200);
  const std::string prompt = model_->prompt().rendered;
  EXPECT_NE(prompt.find("Transcribe the following speech segment in German into German text."),
            std::string::npos);
  EXPECT_NE(prompt.find("instead of three.<|audio|>"), std::string::npos) << prompt;
  EXPECT_EQ(send(form({{"file", wav(1)}, {"language", "de"}}), "/v1/audio/translations").json()["text"],
            "Hello");
  EXPECT_EQ(send(form({{"file", wav(1)}, {"language", "x{}\n"}})).status, 400);
}

TEST_F(Transcribe, BadForms) {
  start();
  EXPECT_EQ(send("").status, 400);
  EXPECT_EQ(send("no form").status, 400);
  EXPECT_EQ(send(form({{"model", "m"}})).status, 400);
  EXPECT_EQ(send(form({{"file", "not a sound"}})).status, 400);
  EXPECT_EQ(send(form({{"file", wav(1)}, {"temperature", "warm"}})).status, 400);
  EXPECT_EQ(ask(port(), "POST", "/v1/audio/transcriptions", form({{"file", wav(1)}}),
                "Content-Type: text/plain\r\n")
                .status,
            400);
  const std::string whole = form({{"file", wav(1).substr(0, 200)}, {"model", "m"}});
  for (size_t at = 1; at < whole.size(); ++at) {
    EXPECT_EQ(send(whole.substr(0, at)).status, 400) << at;
    if (at > 150) at += 17;
  }
  expect_alive();
}

TEST(Form, Parts) {
  const auto parts = parse_form(
      "multipart/form-data; boundary=\"a b\"",
      "preamble\r\n--a b\r\nContent-Disposition: form-data; name=\"x\"; filename=\"q\\\"uote.wav\"\r\n"
      "Content-Type: audio/wav\r\n\r\n1\r\n--a b\r\ncontent-disposition: form-data; name=y\r\n\r\n\r\n--a "
      "b--");
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].name, "x");
  EXPECT_EQ(parts[0].filename, "q\"uote.wav");
  EXPECT_EQ(parts[0].data, "1");
  EXPECT_EQ(parts[1].name, "y");
  EXPECT_EQ(parts[1].data, "");
}

TEST(Transcript, TranslationsAndLanguages) {
  EXPECT_EQ(translation_part("Hallo\nEnglish: Hello"), "Hello");
  EXPECT_EQ(translation_part(" only this "), "only this");
  EXPECT_EQ(language_name("fr"), "French");
  EXPECT_EQ(language_name("Klingon"), "Klingon");
  EXPECT_ANY_THROW(language_name("a\nb"));
}

}  // namespace
}  // namespace tessera::server
