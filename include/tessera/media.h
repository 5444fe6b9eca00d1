#pragma once
// Images, sound and video, decoded before they meet a model.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

class MediaProcess;

/// Bounds on one media file, checked before memory is taken. Over a bound: Error(kTooLarge) with both
/// numbers.
struct MediaLimits {
  int64_t max_file_bytes = int64_t{512} << 20;
  int64_t max_image_pixels = 150'000'000;  // of the encoded image or of one video frame
  double max_audio_s = 600;
  double max_video_s = 3600;
  std::shared_ptr<MediaProcess> process = nullptr;  // decodes; null: the calling thread does
};

struct VideoOptions {
  int soft_token_budget = 70;  // per frame
  int max_frames = 32;         // sampled uniformly: frame floor(j * total / max_frames)
  double fps = 0;              // > 0: sample at this rate instead, still at most max_frames * 8 frames
};

enum class MediaKind { kImage, kAudio, kVideo };

struct MediaData;
struct AudioSegment;

/// A decoded image, sound or video, ready for the model. Immutable; copying shares the data; any thread.
class Media {
 public:
  /// `file`: the bytes of a JPEG, PNG, WebP, GIF (first frame), BMP or TIFF. `name` is used in errors only.
  /// `soft_token_budget`: 70, 140, 280, 560 or 1120. The image is turned upright (EXIF), resized to the
  /// target size and cut into 48x48 patches here. Throws kBadMedia, kTooLarge, kBadRequest (budget).
  static Media image(std::span<const uint8_t> file, std::string name, int soft_token_budget = 280,
                     const MediaLimits& limits = {});
  /// WAV, MP3, FLAC, Ogg Vorbis, Opus, M4A; any rate and channel count; becomes 16 kHz mono, 40 ms a token.
  /// Throws kBadMedia (also for zero samples), kTooLarge.
  static Media audio(std::span<const uint8_t> file, std::string name, const MediaLimits& limits = {});
  /// A recording of any length as sounds of at most `segment_s` seconds (1 … 600), cut where it is quietest
  /// in the second half of each. Throws as audio().
  static std::vector<AudioSegment> audio_segments(std::span<const uint8_t> file, std::string name,
                                                  double segment_s, const MediaLimits& limits = {});
  /// MP4, WebM, MOV. Frames only; the sound track is a part of its own: audio() on the same bytes.
  /// Throws kBadMedia (also for no frames), kTooLarge, kBadRequest.
  static Media video(std::span<const uint8_t> file, std::string name, const VideoOptions& options = {},
                     const MediaLimits& limits = {});

  MediaKind kind() const;
  int soft_tokens() const;  // without the begin and end markers and the time stamps
  /// What the model sees: PNG of the resized picture (image; first frame of a video), with the 48-pixel grid
  /// drawn when `grid`. Empty for audio.
  std::vector<uint8_t> preview_png(bool grid) const;
  /// One line for people: "640x480 -> 912x672, 19x14 patches, 266 soft tokens".
  std::string describe() const;

  const std::shared_ptr<const MediaData>& data() const { return data_; }

 private:
  explicit Media(std::shared_ptr<const MediaData> data) : data_(std::move(data)) {}
  std::shared_ptr<const MediaData> data_;
};

struct AudioSegment {
  Media media;
  double begin_s = 0, end_s = 0;  // in the recording
};

}  // namespace tessera
