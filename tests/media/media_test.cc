// The public class Media: what comes out for an image, a sound and a video, and its errors.
#include "media/media.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "media/resize.h"
#include "media/target_size.h"
#include "media/video.h"
#include "media_files.h"
#include "support/safetensors_reader.h"

namespace tessera {
namespace {

Media image_fixture(const std::string& name, int budget) {
  return Media::image(read_fixture("tiny/media/" + name), name, budget);
}

TEST(MediaImage, EveryReferenceCaseHasItsTokensAndGrid) {
  std::ifstream file(fixture("tiny/cases.json"));
  ASSERT_TRUE(file) << "cases.json is missing";
  int images = 0, sounds = 0;
  for (const auto& c : nlohmann::json::parse(file)) {
    for (const auto& m : c.value("media", nlohmann::json::array())) {
      if (m.contains("image")) {
        const Media media = image_fixture(m.at("image"), m.at("max_soft_tokens"));
        EXPECT_EQ(media.kind(), MediaKind::kImage);
        EXPECT_EQ(media.soft_tokens(), m.at("soft_tokens").get<int>()) << m;
        EXPECT_EQ(media.data()->images.at(0).rows, m.at("grid")[0].get<int>()) << m;
        EXPECT_EQ(media.data()->images.at(0).cols, m.at("grid")[1].get<int>()) << m;
        ++images;
      } else {
        const std::string name = m.at("audio");
        const Media media = Media::audio(read_fixture("tiny/media/" + name), name);
        EXPECT_EQ(media.kind(), MediaKind::kAudio);
        EXPECT_EQ(media.soft_tokens(), m.at("soft_tokens").get<int>()) << m;
        ++sounds;
      }
    }
  }
  EXPECT_GE(images, 6);
  EXPECT_GE(sounds, 3);
}

TEST(MediaImage, ValuesAreTheReferences) {
  const auto golden = read_golden(fixture("tiny/golden.safetensors"));
  EXPECT_EQ(image_fixture("waves.png", 70).data()->images.at(0).values,
            golden.at("image/pixel_values").f32());
}

TEST(MediaImage, DescribesItselfAndShowsWhatTheModelSees) {
  const Media media = image_fixture("shapes.png", 280);
  EXPECT_EQ(media.describe(), "640x480 -> 912x672, 19x14 patches, 266 soft tokens");
  const Image plain = decode_image(media.preview_png(false), "preview");
  EXPECT_EQ(plain.rgb, media.data()->preview.rgb);
  EXPECT_EQ(plain.rgb,
            resize_bicubic(decode_image(read_fixture("tiny/media/shapes.png"), "s"), 912, 672).rgb);
  const Image grid = decode_image(media.preview_png(true), "grid");
  EXPECT_EQ(grid.rgb, draw_patch_grid(plain).rgb);
  EXPECT_NE(grid.rgb, plain.rgb);
}

TEST(MediaImage, ExifTurnsBeforeTheSizeIsChosen) {
  const Media upright = Media::image(read_fixture("media/rgb.png"), "rgb.png", 70);
  const Media turned = Media::image(read_fixture("media/exif_6.png"), "exif_6.png", 70);
  EXPECT_EQ(turned.data()->images[0].cols, upright.data()->images[0].rows);
  EXPECT_EQ(turned.data()->source_width, 19);
}

TEST(MediaImage, Errors) {
  EXPECT_ERROR(Media::image(read_fixture("media/rgb.png"), "rgb.png", 300), ErrorKind::kBadRequest, "300");
  EXPECT_ERROR(Media::image({}, "none.png"), ErrorKind::kBadMedia, "none.png");
  MediaLimits few;
  few.max_file_bytes = 100;
  EXPECT_ERROR(Media::image(read_fixture("media/rgb.png"), "rgb.png", 280, few), ErrorKind::kTooLarge, "100");
}

// The most extreme shapes still give patches that fit (vllm#40796: 3x900 gave 280 patches and 289
// placeholders).
TEST(MediaImage, PatchCountIsTheTokenCountForExtremeShapes) {
  for (const auto& [w, h] : {std::pair{3, 900}, {900, 3}, {1, 1}, {1, 2000}, {2000, 1}, {50, 3000}, {7, 8}}) {
    const std::vector<uint8_t> png =
        encode_png({w, h, std::vector<uint8_t>(static_cast<size_t>(w) * h * 3, 99)});
    for (int budget : {70, 280, 1120}) {
      const Media media = Media::image(png, "shape.png", budget);
      const Patches& patches = media.data()->images.at(0);
      EXPECT_EQ(media.soft_tokens(), target_size(w, h, budget).soft_tokens()) << w << "x" << h;
      EXPECT_EQ(patches.values.size(), static_cast<size_t>(media.soft_tokens()) * kPatchValues)
          << w << "x" << h;
      EXPECT_LE(media.soft_tokens(), budget);
    }
  }
}

TEST(MediaAudio, DescribesItself) {
  const Media media = Media::audio(read_fixture("tiny/media/chirp.wav"), "chirp.wav");
  EXPECT_EQ(media.describe(), "1.03 s, 26 frames of 40 ms, 26 soft tokens");
  EXPECT_TRUE(media.preview_png(true).empty());
}

TEST(MediaVideo, FramesAreResizedToTheBudget) {
  const Media media = Media::video(read_fixture("media/index_h264.mp4"), "index.mp4");
  const MediaData& data = *media.data();
  EXPECT_EQ(media.kind(), MediaKind::kVideo);
  ASSERT_EQ(data.images.size(), 32U);
  ASSERT_EQ(data.timestamp_s.size(), 32U);
  const TargetSize size = target_size(64, 48, 70);
  for (const Patches& patches : data.images) {
    EXPECT_EQ(patches.cols, size.cols());
    EXPECT_EQ(patches.rows, size.rows());
    EXPECT_EQ(patches.values.size(), static_cast<size_t>(size.soft_tokens()) * kPatchValues);
  }
  EXPECT_EQ(media.soft_tokens(), 32 * size.soft_tokens());
  EXPECT_EQ(media.describe(),
            "64x48 -> 432x336, 9x7 patches, 32 of 48 frames at 24 frames/s, 32 x 63 = 2016 soft tokens");
  EXPECT_EQ(decode_image(media.preview_png(false), "p").width, 432);
  // A flat frame stays flat: its patches tell which frame it was.
  const std::vector<int> index = sample_frames(48, 24, {});
  for (size_t k = 0; k < 32; ++k) EXPECT_NEAR(data.images[k].values[3000] * 255, 20 + 4 * index[k], 2) << k;
}

TEST(MediaVideo, Errors) {
  const std::vector<uint8_t> file = read_fixture("media/index_h264.mp4");
  EXPECT_ERROR(Media::video(file, "v.mp4", {71, 32, 0}), ErrorKind::kBadRequest, "71");
  EXPECT_ERROR(Media::video(file, "v.mp4", {70, -5, 0}), ErrorKind::kBadRequest, "max_frames");
  EXPECT_ERROR(Media::video({}, "v.mp4"), ErrorKind::kBadMedia, "v.mp4");
}

TEST(Media, ThreadsAndCopiesShareTheData) {
  const Media media = image_fixture("waves.png", 70);
  std::vector<std::thread> threads;
  std::vector<int> tokens(4, 0);
  for (int& t : tokens) {
    threads.emplace_back([&t, copy = media] {
      t = copy.soft_tokens();
      t += Media::audio(read_fixture("media/tone.opus"), "tone.opus").soft_tokens();
      t += Media::video(read_fixture("media/index_vp9.webm"), "index.webm").soft_tokens();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t : tokens) EXPECT_EQ(t, 60 + 10 + 2016);
}

}  // namespace
}  // namespace tessera
