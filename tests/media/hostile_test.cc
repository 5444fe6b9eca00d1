// Files that are cut, flipped or lie. No input may end the process or take memory over the limits; run this
// under -fsanitize=address,undefined too. Seeds are printed with a failure.
#include <gtest/gtest.h>

#include <random>

#include "media/audio.h"
#include "media/image.h"
#include "media/video.h"
#include "media_files.h"

namespace tessera {
namespace {

using File = std::vector<uint8_t>;

const std::vector<std::string>& image_names() {
  static const std::vector<std::string> names{
      "baseline_420.jpg", "progressive_420.jpg", "cmyk.jpg",         "ycck.jpg",       "exif_6.jpg",
      "rgb.png",          "palette_trns.png",    "interlaced.png",   "rgb16.png",      "exif_6.png",
      "grey_4bit.png",    "lossy.webp",          "lossy_alpha.webp", "lossless.webp",  "animated.webp",
      "exif_6.webp",      "plain.gif",           "animated.gif",     "interlaced.gif", "rgb.bmp",
      "palette.bmp",      "rgb555.bmp",          "raw.tif",          "lzw.tif",        "deflate_rgba.tif",
      "fax4.tif",         "exif_8.tif"};
  return names;
}

MediaLimits small_limits() {
  MediaLimits limits;
  limits.max_file_bytes = 1 << 20;
  limits.max_image_pixels = 1 << 20;
  limits.max_audio_s = 20;
  limits.max_video_s = 60;
  return limits;
}

// Runs a decode that may fail with one of our errors and nothing else.
template <typename Decode>
bool survives(const Decode& decode) {
  try {
    decode();
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::kBadMedia || error.kind() == ErrorKind::kTooLarge) << error.what();
    EXPECT_GT(std::string(error.what()).size(), 10U);
    return false;
  }
}

// A cut file is an error, or lacks nothing that matters: it never gives other pixels.
TEST(Hostile, ImagesCutAtEveryLength) {
  for (const std::string& name : image_names()) {
    const File file = read_fixture("media/" + name);
    const Image whole = decode_image(file, name);
    int decoded = 0;
    for (size_t length = 0; length < file.size(); ++length) {
      const File cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(length));
      decoded += survives([&] {
        const Image image = decode_image(cut, name, small_limits());
        ASSERT_TRUE(image.rgb == whole.rgb) << name << " cut to " << length << " of " << file.size();
      });
    }
    const bool one_picture = name.find("animated") == name.npos;  // what follows the first picture may go
    EXPECT_LE(decoded, one_picture ? 200 : static_cast<int>(file.size()) - 200) << name;
  }
}

// `flips` bytes of `file` changed, the first dozen less often: they decide which decoder is tried.
File mutate(const File& file, std::mt19937& random) {
  File mutated = file;
  const size_t flips = 1 + random() % 4;
  for (size_t i = 0; i < flips; ++i) {
    const size_t at =
        random() % 8 == 0 ? random() % std::min<size_t>(12, file.size()) : random() % file.size();
    switch (random() % 4) {
      case 0:
        mutated[at] = static_cast<uint8_t>(random());
        break;
      case 1:
        mutated[at] ^= static_cast<uint8_t>(1U << (random() % 8));
        break;
      case 2:
        mutated[at] = 0xFF;
        break;
      default:
        mutated[at] = 0;
        break;
    }
  }
  if (random() % 10 == 0) mutated.resize(random() % mutated.size() + 1);
  return mutated;
}

TEST(Hostile, MutatedImages) {
  constexpr uint32_t kSeed = 20261122;
  std::mt19937 random(kSeed);
  int decoded = 0, runs = 0;
  for (int round = 0; round < 150; ++round) {
    for (const std::string& name : image_names()) {
      SCOPED_TRACE(testing::Message() << name << ", seed " << kSeed << ", round " << round);
      const File file = mutate(read_fixture("media/" + name), random);
      ++runs;
      decoded += survives([&] {
        const Image image = decode_image(file, name, small_limits());
        ASSERT_EQ(image.rgb.size(), static_cast<size_t>(image.width) * image.height * 3);
        ASSERT_LE(int64_t{image.width} * image.height, small_limits().max_image_pixels);
      });
    }
  }
  EXPECT_GT(decoded, runs / 20) << "mutations that decode, of " << runs << ": too few to test the decoders";
  EXPECT_LT(decoded, runs);
  std::printf("%d mutated images, %d still decode\n", runs, decoded);
}

const std::vector<std::string>& sound_names() {
  static const std::vector<std::string> names{
      "tone.mp3", "tone.flac",      "tone_vorbis.ogg", "tone.opus",      "tone.m4a",      "tone_alac.m4a",
      "tone.aac", "tone_opus.webm", "tone_24bit.wav",  "tone_float.wav", "with_sound.mp4"};
  return names;
}

TEST(Hostile, SoundsCutAtManyLengths) {
  for (const std::string& name : sound_names()) {
    const File file = read_fixture("media/" + name);
    const size_t whole = decode_audio(file, name).size();
    const bool exact = name.find(".wav") != name.npos;
    const std::vector<float> samples = decode_audio(file, name);
    for (size_t part = 0; part < 60; ++part) {
      const size_t length = part < 20 ? part * 3 : file.size() * part / 60;
      const File cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(length));
      survives([&] {
        const std::vector<float> found = decode_audio(cut, name, small_limits());
        ASSERT_GT(found.size(), 0U);
        ASSERT_LE(found.size(), whole + 400) << name << " cut to " << length;
        // 200 samples from the end the resampler does not know yet that the sound ends.
        for (size_t i = 0; exact && i + 200 < found.size(); ++i)
          ASSERT_EQ(found[i], samples[i]) << name << " at " << i;
      });
    }
  }
}

TEST(Hostile, MutatedSounds) {
  constexpr uint32_t kSeed = 4;
  std::mt19937 random(kSeed);
  int decoded = 0, runs = 0;
  for (int round = 0; round < 120; ++round) {
    for (const std::string& name : sound_names()) {
      SCOPED_TRACE(testing::Message() << name << ", seed " << kSeed << ", round " << round);
      const File file = mutate(read_fixture("media/" + name), random);
      ++runs;
      decoded += survives([&] {
        const std::vector<float> samples = decode_audio(file, name, small_limits());
        ASSERT_LE(samples.size(), 20U * kSampleHz + 1);
      });
    }
  }
  EXPECT_GT(decoded, runs / 20);
  std::printf("%d mutated sounds, %d still decode\n", runs, decoded);
}

TEST(Hostile, MutatedVideos) {
  constexpr uint32_t kSeed = 5;
  std::mt19937 random(kSeed);
  int decoded = 0, runs = 0;
  const VideoOptions options{70, 4, 0};
  for (int round = 0; round < 60; ++round) {
    for (const char* name : {"index_h264.mp4", "index_open_gop.mov", "index_mpeg4.mp4", "index_hevc.mp4",
                             "index_vp8.webm", "index_vp9.webm", "index_av1.webm", "turned.mp4"}) {
      SCOPED_TRACE(testing::Message() << name << ", seed " << kSeed << ", round " << round);
      const File file = mutate(read_fixture(std::string("media/") + name), random);
      ++runs;
      decoded += survives([&] {
        const VideoFrames video = decode_video(file, name, options, small_limits());
        ASSERT_EQ(video.frames.size(), video.timestamp_s.size());
        ASSERT_LE(video.frames.size(), 4U);
        ASSERT_GE(video.frames.size(), 1U);
      });
    }
  }
  EXPECT_GT(decoded, runs / 20);
  std::printf("%d mutated videos, %d still decode\n", runs, decoded);
}

TEST(Hostile, NoiseIsNothing) {
  constexpr uint32_t kSeed = 6;
  std::mt19937 random(kSeed);
  for (const std::string& magic :
       {std::string("\xff\xd8\xff\xe0"), std::string("\x89PNG\r\n\x1a\n"), std::string("RIFFxxxxWEBPVP8X"),
        std::string("GIF89a"), std::string("BM"), std::string("II*\0", 4), std::string("RIFFxxxxWAVEfmt "),
        std::string("ID3"), std::string("fLaC"), std::string("OggS"), std::string("\x1a\x45\xdf\xa3"),
        std::string("\0\0\0\x20"
                    "ftypisom",
                    12),
        std::string()}) {
    for (int i = 0; i < 40; ++i) {
      File file(magic.begin(), magic.end());
      for (size_t n = random() % 2000; n > 0; --n) file.push_back(static_cast<uint8_t>(random()));
      SCOPED_TRACE(testing::Message() << magic << ", seed " << kSeed << ", run " << i);
      EXPECT_FALSE(survives([&] { decode_video(file, "noise", {}, small_limits()); }));
      survives([&] { decode_image(file, "noise", small_limits()); });
      survives([&] { decode_audio(file, "noise", small_limits()); });
    }
  }
}

// An EXIF block whose directory lies outside, has a huge count or points at itself.
TEST(Hostile, LyingExif) {
  const File file = read_fixture("media/exif_6.jpg");
  size_t at = 0;
  while (!(file[at] == 'E' && file[at + 1] == 'x' && file[at + 2] == 'i' && file[at + 3] == 'f')) ++at;
  const Image plain = decode_image(read_fixture("media/exif_1.jpg"), "exif_1.jpg");
  for (size_t offset = 6; offset < 24; ++offset) {
    for (uint8_t value : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
      File lying = file;
      lying[at + offset] = value;
      const Image image = decode_image(lying, "lying.jpg");
      const bool turned = image.width == 19;
      EXPECT_EQ(image.rgb.size(), plain.rgb.size()) << offset;
      EXPECT_TRUE(turned || image.width == 27) << offset;
    }
  }
}

}  // namespace
}  // namespace tessera
