// Sampling of video frames: frame i of the files is flat grey of level 20 + 4 i, so each frame tells its
// index.
#include "media/video.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "media_files.h"

namespace tessera {
namespace {

VideoFrames decode_fixture(const std::string& name, const VideoOptions& options = {}) {
  return decode_video(read_fixture("media/" + name), name, options);
}

int index_of(const Image& frame) {
  const size_t middle = (static_cast<size_t>(frame.height / 2) * frame.width + frame.width / 2) * 3;
  return static_cast<int>(std::lround((frame.rgb[middle + 1] - 20) / 4.0));
}

std::vector<int> indices_of(const VideoFrames& video) {
  std::vector<int> found;
  for (const Image& frame : video.frames) found.push_back(index_of(frame));
  return found;
}

std::vector<int> reference_row(const char* key) {
  std::ifstream file(fixture("tiny/cases.json"));
  for (const auto& c : nlohmann::json::parse(file)) {
    if (c.at("name") == "video") return c.at(key).get<std::vector<int>>();
  }
  throw std::runtime_error("cases.json has no video row");
}

const char* const kFortyEightFrames[] = {"index_h264.mp4",  "index_open_gop.mov", "index_hevc.mp4",
                                         "index_mpeg4.mp4", "index_vp8.webm",     "index_vp9.webm",
                                         "index_av1.webm",  "index_h264.mkv",     "with_sound.mp4"};

TEST(SampleFrames, ReferenceRow) {
  EXPECT_EQ(sample_frames(48, 24, {}), reference_row("frames_indices"));
}

TEST(SampleFrames, FormulaHoldsForEveryTotal) {
  for (int total = 1; total <= 400; ++total) {
    for (int count : {1, 2, 7, 32, 60}) {
      const std::vector<int> index = sample_frames(total, 30, {70, count, 0});
      ASSERT_EQ(static_cast<int>(index.size()), std::min(total, count));
      for (size_t j = 0; j < index.size(); ++j) {
        const int expected = total < count ? static_cast<int>(j) : static_cast<int>(j) * total / count;
        ASSERT_EQ(index[j], expected) << "frame " << j << " of " << total << ", " << count << " wanted";
      }
    }
  }
}

TEST(SampleFrames, AtAFrameRate) {
  EXPECT_EQ(sample_frames(48, 24, {70, 32, 1}), (std::vector<int>{0, 24}));
  EXPECT_EQ(sample_frames(100, 30, {70, 32, 2}),
            (std::vector<int>{0, 16, 33, 50, 66, 83}));  // int(6.67) frames
  EXPECT_EQ(sample_frames(10, 30, {70, 32, 0.1}), (std::vector<int>{0}));
  EXPECT_EQ(sample_frames(10, 30, {70, 32, 1000}).size(), 10U);
  EXPECT_EQ(sample_frames(100'000, 30, {70, 4, 30}).size(), 32U);  // at most 8 * max_frames
}

TEST(SampleFrames, OptionsOutOfRange) {
  EXPECT_ERROR(sample_frames(48, 24, {70, 0, 0}), ErrorKind::kBadRequest, "max_frames");
  EXPECT_ERROR(sample_frames(48, 24, {70, 32, -1}), ErrorKind::kBadRequest, "fps");
  EXPECT_ERROR(sample_frames(48, 24, {70, 32, std::nan("")}), ErrorKind::kBadRequest, "fps");
}

TEST(DecodeVideo, EveryFormatGivesTheSampledFrames) {
  const std::vector<int> expected = reference_row("frames_indices");
  for (const char* name : kFortyEightFrames) {
    SCOPED_TRACE(name);
    const VideoFrames video = decode_fixture(name);
    EXPECT_EQ(video.source_frames, 48);
    EXPECT_NEAR(video.source_fps, 24, 0.01);
    EXPECT_EQ(video.width, 64);
    EXPECT_EQ(video.height, 48);
    EXPECT_EQ(video.index, expected);
    EXPECT_EQ(indices_of(video), expected);
    ASSERT_EQ(video.timestamp_s.size(), expected.size());
    for (size_t j = 0; j < expected.size(); ++j) EXPECT_NEAR(video.timestamp_s[j], expected[j] / 24.0, 1e-3);
  }
}

// Few frames of a long film: whole groups of pictures are skipped, and the frames must be the same ones.
TEST(DecodeVideo, EveryFrameCanBeTheOne) {
  for (const char* name : kFortyEightFrames) {
    SCOPED_TRACE(name);
    const std::vector<int> all = indices_of(decode_fixture(name, {70, 48, 0}));
    for (int i = 0; i < 48; ++i) ASSERT_EQ(all[i], i);
    for (int count : {1, 2, 3, 5, 11}) {
      const VideoFrames video = decode_fixture(name, {70, count, 0});
      ASSERT_EQ(indices_of(video), sample_frames(48, 24, {70, count, 0})) << count;
    }
  }
}

TEST(DecodeVideo, FewerFramesThanAsked) {
  EXPECT_EQ(indices_of(decode_fixture("five_frames.mp4")), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(DecodeVideo, SourceRateGivesTimeStamps) {
  const VideoFrames video = decode_fixture("five_per_second.mp4");
  EXPECT_NEAR(video.source_fps, 5, 0.01);
  EXPECT_EQ(video.source_frames, static_cast<int>(video.frames.size()));
  for (size_t j = 0; j < video.timestamp_s.size(); ++j) EXPECT_NEAR(video.timestamp_s[j], j / 5.0, 1e-6);
}

TEST(DecodeVideo, RotationIsApplied) {
  const VideoFrames video = decode_fixture("turned.mp4");
  ASSERT_FALSE(video.frames.empty());
  const Image& frame = video.frames[0];
  EXPECT_EQ(frame.width, 48);
  EXPECT_EQ(frame.height, 64);
  EXPECT_EQ(video.width, 48);
  const int top = frame.rgb[(4 * 48 + 24) * 3], bottom = frame.rgb[(60 * 48 + 24) * 3];
  // Stored left black, right white, to be shown after a quarter turn to the right: left becomes top.
  EXPECT_LT(top, 40);
  EXPECT_GT(bottom, 215);
}

TEST(DecodeVideo, FramesAreHandedOutOneByOne) {
  size_t next = 0;
  const TakeFrame take = [&](size_t k, Image&& frame) {
    EXPECT_EQ(k, next++);
    EXPECT_EQ(frame.width, 64);
  };
  const VideoFrames video =
      decode_video(read_fixture("media/index_h264.mp4"), "index_h264.mp4", {}, {}, take);
  EXPECT_EQ(next, 32U);
  EXPECT_TRUE(video.frames.empty());
  EXPECT_EQ(video.timestamp_s.size(), 32U);
}

TEST(VideoLimits, PixelsDurationBytes) {
  const std::vector<uint8_t> file = read_fixture("media/index_h264.mp4");
  MediaLimits limits;
  limits.max_image_pixels = 64 * 48 - 1;
  EXPECT_ERROR(decode_video(file, "v.mp4", {}, limits), ErrorKind::kTooLarge,
               "64x48 pixels, the limit is 3071");
  limits = {};
  limits.max_video_s = 1.5;
  EXPECT_ERROR(decode_video(file, "v.mp4", {}, limits), ErrorKind::kTooLarge, "2.0 s, the limit is 1.5 s");
  limits = {};
  limits.max_file_bytes = 9;
  EXPECT_ERROR(decode_video(file, "v.mp4", {}, limits), ErrorKind::kTooLarge, "limit is 9");
}

TEST(DecodeVideo, SaysWhatWasFound) {
  EXPECT_ERROR(decode_video({}, "v.mp4"), ErrorKind::kBadMedia, "empty");
  EXPECT_ERROR(decode_video(read_fixture("media/rgb.png"), "v.png"), ErrorKind::kBadMedia, "MP4, MOV, WebM");
  EXPECT_ERROR(decode_video(read_fixture("media/tone.m4a"), "v.m4a"), ErrorKind::kBadMedia, "audio aac");
  EXPECT_ERROR(decode_video(read_fixture("media/tone_opus.webm"), "v.webm"), ErrorKind::kBadMedia,
               "audio opus");
}

TEST(DecodeVideo, CutShortIsAnError) {
  for (const char* name : kFortyEightFrames) {
    const std::vector<uint8_t> file = read_fixture(std::string("media/") + name);
    for (size_t percent : {10, 30, 50, 70, 90}) {
      const std::vector<uint8_t> cut(file.begin(),
                                     file.begin() + static_cast<ptrdiff_t>(file.size() * percent / 100));
      EXPECT_ERROR(decode_video(cut, name), ErrorKind::kBadMedia, name);
    }
  }
}

TEST(TimestampText, MinutesAndSeconds) {
  EXPECT_EQ(timestamp_text(0), "00:00");
  EXPECT_EQ(timestamp_text(5.99), "00:05");
  EXPECT_EQ(timestamp_text(59.999), "00:59");
  EXPECT_EQ(timestamp_text(60), "01:00");
  EXPECT_EQ(timestamp_text(754.2), "12:34");
  EXPECT_EQ(timestamp_text(6000), "100:00");
  EXPECT_EQ(timestamp_text(-1), "00:00");
}

}  // namespace
}  // namespace tessera
