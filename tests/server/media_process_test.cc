// Media decoded in confined processes: the same results, nothing that they can reach, and faults that stay
// theirs.
#include "media/media_process.h"

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/base64.h"
#include "client.h"
#include "media/confine.h"
#include "media/image.h"
#include "media/media.h"
#include "support/temp_dir.h"

namespace tessera::server {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<MediaProcess> start(int timeout_ms = 60'000, std::vector<std::string>* told = nullptr) {
  MediaProcessOptions options;
  options.command = {TESSERA_BINARY, "media-process"};
  options.timeout_ms = timeout_ms;
  if (told != nullptr) options.on_failure = [told](const std::string& what) { told->push_back(what); };
  return std::make_shared<MediaProcess>(std::move(options));
}

std::vector<uint8_t> bytes_of(const std::string& path) {
  const std::string text = read_bytes(path);
  return {text.begin(), text.end()};
}

Media decode_as(MediaKind kind, std::span<const uint8_t> file, const MediaLimits& limits) {
  if (kind == MediaKind::kImage) return Media::image(file, "part", 280, limits);
  if (kind == MediaKind::kAudio) return Media::audio(file, "part", limits);
  return Media::video(file, "part", {70, 8, 0}, limits);
}

// All of it, or the error's kind and words.
std::string outcome(MediaKind kind, std::span<const uint8_t> file, const MediaLimits& limits) {
  try {
    const Media media = decode_as(kind, file, limits);
    const MediaData& d = *media.data();
    std::string all = media.describe();
    const auto add = [&](const auto& values) {
      all.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
    };
    for (const Patches& patches : d.images) add(patches.values);
    add(d.timestamp_s);
    add(d.audio.values);
    add(d.preview.rgb);
    return all;
  } catch (const Error& error) {
    return "error " + std::to_string(static_cast<int>(error.kind())) + ": " + error.what();
  }
}

TEST(MediaProcess, GivesWhatDecodingHereGives) {
  MediaLimits there;
  there.process = start();
  int files = 0, decoded = 0;
  for (const auto& entry : fs::directory_iterator(TESSERA_SOURCE_DIR "/tests/fixtures/media")) {
    const std::vector<uint8_t> whole = bytes_of(entry.path());
    const auto half = std::span(whole).first(whole.size() / 2);
    ++files;
    for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
      const std::string here = outcome(kind, whole, {});
      EXPECT_TRUE(here == outcome(kind, whole, there)) << entry.path() << ": " << here.substr(0, 200);
      decoded += here.starts_with("error") ? 0 : 1;
      EXPECT_TRUE(outcome(kind, half, {}) == outcome(kind, half, there)) << "half of " << entry.path();
    }
  }
  EXPECT_GT(files, 60);
  EXPECT_GT(decoded, 60);
  EXPECT_EQ(outcome(MediaKind::kImage, {}, {}), outcome(MediaKind::kImage, {}, there));
}

TEST(MediaProcess, SegmentsAndOptionsToo) {
  MediaLimits there;
  there.process = start();
  const auto sound = bytes_of(TESSERA_SOURCE_DIR "/tests/fixtures/media/tone.flac");
  const auto a = Media::audio_segments(sound, "x", 1, {}), b = Media::audio_segments(sound, "x", 1, there);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].end_s, b[i].end_s);
    EXPECT_EQ(a[i].media.data()->audio.values, b[i].media.data()->audio.values);
  }
  const auto film = bytes_of(TESSERA_SOURCE_DIR "/tests/fixtures/media/five_per_second.mp4");
  const VideoOptions options{140, 3, 2.5};
  EXPECT_EQ(Media::video(film, "x", options).describe(), Media::video(film, "x", options, there).describe());
  MediaLimits tight = there;
  tight.max_image_pixels = 10;
  try {
    Media::image(bytes_of(TESSERA_SOURCE_DIR "/tests/fixtures/media/rgb.png"), "x", 280, tight);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kTooLarge) << error.what();
  }
}

// What a drill ends in; "" for nothing.
std::string drill(MediaProcess& process, Drill drill, ErrorKind kind) {
  DecodeJob job;
  job.name = "part";
  job.kind = drill == Drill::kForbidden ? MediaKind::kAudio : MediaKind::kImage;
  job.drill = drill;
  job.limits.max_image_pixels = 1000;
  job.limits.max_audio_s = 1;
  try {
    process.impl().decode({}, job);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return {};
}

TEST(MediaProcess, CanOpenNoFileAndNoSocket) {
  // In the process: files, sockets, programs, threads, other processes, code in memory, the terminal.
  EXPECT_EQ(drill(*start(), Drill::kForbidden, ErrorKind::kIo), "");
}

// The same attempts where nothing forbids them.
TEST(MediaProcess, TheAttemptsAreReal) {
  const std::string through = escapes();
  for (const char* name : {"openat", "socket of IPv4", "socket of Unix", "execve", "clone", "memfd_create",
                           "kill", "prctl", "code in new memory"})
    EXPECT_NE(through.find(name), std::string::npos) << name << " is not among: " << through;
}

TEST(MediaProcess, FaultsAreTheFilesAlone) {
  std::vector<std::string> told;
  // Time ends only what never ends, however busy the machine is.
  const auto patient = start(120'000, &told), hasty = start(2000, &told);
  const auto holds = [&](MediaProcess& process, Drill d, ErrorKind kind, const std::string& words) {
    const std::string said = drill(process, d, kind);
    EXPECT_NE(said.find(words), std::string::npos) << said;
    EXPECT_EQ(drill(process, Drill::kForbidden, ErrorKind::kIo), "") << "the next is fresh";
  };
  holds(*hasty, Drill::kSpin, ErrorKind::kTooLarge, "longer than 2 s");
  holds(*hasty, Drill::kSleep, ErrorKind::kTooLarge, "longer than 2 s");
  holds(*patient, Drill::kCrash, ErrorKind::kBadMedia, "crashed");
  holds(*patient, Drill::kFlood, ErrorKind::kTooLarge, "larger than the limits");
  holds(*patient, Drill::kLie, ErrorKind::kBadMedia, "sizes that no file has");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  holds(*patient, Drill::kEat, ErrorKind::kTooLarge, "MiB of memory");
#endif
  EXPECT_EQ(told.size(), 4U) << "crashes and ends are for the log, refusals are not";
}

TEST(MediaProcess, ManyAtOnce) {
  const auto process = start();
  const auto picture = bytes_of(TESSERA_SOURCE_DIR "/tests/fixtures/media/rgb.png");
  MediaLimits there;
  there.process = process;
  const std::string expected = outcome(MediaKind::kImage, picture, {});
  std::atomic<int> equal{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        if (t == 0) drill(*process, Drill::kCrash, ErrorKind::kBadMedia);
        equal += outcome(MediaKind::kImage, picture, there) == expected ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(equal, 40);
}

TEST(MediaProcess, WhatCannotStartOrConfineSaysWhy) {
  const auto why = [](std::vector<std::string> command) {
    MediaProcessOptions options;
    options.command = std::move(command);
    try {
      MediaProcess process(std::move(options));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(why({"no/such/program"}).find("no/such/program"), std::string::npos);
  EXPECT_NE(why({"/bin/true"}), "");
}

class MediaProcessServer : public ScriptedServer {
 protected:
  Answer with_picture() {
    const auto picture = bytes_of(TESSERA_SOURCE_DIR "/examples/daylight.png");
    const Json part = {{"type", "image_url"}, {"image_url", "data:;base64," + base64_encode(picture)}};
    return post("/v1/chat/completions",
                {{"messages", Json::array({{{"role", "user"}, {"content", Json::array({part})}}})}});
  }
  // The one child of this process: its decoders are forked from it.
  static std::vector<pid_t> children() {
    std::ifstream in("/proc/self/task/" + std::to_string(::getpid()) + "/children");
    return {std::istream_iterator<pid_t>(in), {}};
  }
};

TEST_F(MediaProcessServer, SurvivesTheLossOfTheProcess) {
  options_.media.limits.process = std::make_shared<MediaProcess>(
      MediaProcessOptions{{TESSERA_BINARY, "media-process"}, {}, 60'000, 4, {}});
  ScriptedServer::start();
  model_->play({{text_event("ok")}});
  EXPECT_EQ(with_picture().status, 200);
  EXPECT_EQ(model_->prompt().media.size(), 1U);
  const auto zygotes = children();
  ASSERT_EQ(zygotes.size(), 1U);
  ::kill(zygotes[0], SIGKILL);
  EXPECT_EQ(with_picture().status, 200) << "by a new one";
  expect_alive();
}

TEST_F(MediaProcessServer, AFileThatTakesTooLongIsA413) {
  options_.media.limits.process =
      std::make_shared<MediaProcess>(MediaProcessOptions{{TESSERA_BINARY, "media-process"}, {}, 400, 4, {}});
  ScriptedServer::start();
  model_->play({{text_event("ok")}});
  // 81 million pixels of nothing: within the limits, and a second of work.
  const auto bytes = encode_png({9000, 9000, std::vector<uint8_t>(size_t{9000} * 9000 * 3)});
  const Json part = {{"type", "image_url"}, {"image_url", "data:;base64," + base64_encode(bytes)}};
  const Answer answer =
      post("/v1/chat/completions",
           {{"messages", Json::array({{{"role", "user"}, {"content", Json::array({part})}}})}});
  EXPECT_EQ(answer.status, 413) << answer.body;
  EXPECT_NE(answer.body.find("messages[0].content[0]"), std::string::npos) << answer.body;
  expect_alive();
}

}  // namespace
}  // namespace tessera::server
