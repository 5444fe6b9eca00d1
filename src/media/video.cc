#include "media/video.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <map>
#include <optional>

#include "media/pixels.h"
#include "media/video_track.h"

namespace tessera {
namespace {

// One pass of decoding that hands out sampled frames.
class Pass {
 public:
  Pass(Bytes file, const std::string& name, const VideoTrack& track, const MediaLimits& limits,
       const TakeFrame& take)
      : name_(name),
        track_(track),
        take_(take),
        demuxer_(file, name, video_demuxer(file, name), kVideoDecoders),
        packet_(make_packet()),
        frame_(make_frame()) {
    AVStream* stream = demuxer_.select(AVMEDIA_TYPE_VIDEO, "picture track");
    const int64_t w = stream->codecpar->width, h = stream->codecpar->height;
    decoder_ = open_stream_decoder(*stream, name, kVideoDecoders,
                                   std::max(limits.max_image_pixels, (w + 128) * (h + 128)));
    decoder_->pkt_timebase = stream->time_base;
  }

  /// Decodes the groups of pictures that `wanted` (sorted time stamps) lie in. False when one was not found
  /// whole.
  bool by_time(const std::vector<int64_t>& wanted) {
    const std::vector<bool> needed = packets_for(track_, wanted);
    const auto on_frame = [&] {
      const auto at = std::lower_bound(wanted.begin(), wanted.end(), frame_->best_effort_timestamp);
      if (at == wanted.end() || *at != frame_->best_effort_timestamp) return;
      const auto k = static_cast<size_t>(at - wanted.begin());
      if (k == taken_ && !damaged_frame()) take_frame();
    };
    for (size_t i = 0; i < needed.size() && taken_ < wanted.size() && demuxer_.read(packet_.get()); ++i) {
      if (needed[i]) send(packet_.get(), on_frame);
      if (needed[i] && (i + 1 == needed.size() || !needed[i + 1])) {  // the end of a run
        send(nullptr, on_frame);
        avcodec_flush_buffers(decoder_.get());
      }
    }
    return taken_ == wanted.size();
  }

  /// Decodes from the start; `wanted`: indices of decoded frames, ascending. False when there were fewer
  /// frames.
  bool by_index(const std::vector<int>& wanted) {
    const auto on_frame = [&] {
      const int index = decoded_++;
      if (taken_ == wanted.size() || wanted[taken_] != index) return;
      if (damaged_frame()) {
        throw_error(ErrorKind::kBadMedia, "{}: frame {} of {} is damaged{}", name_, index, track_.shown,
                    reason_text());
      }
      take_frame();
    };
    while (taken_ < wanted.size() && demuxer_.read(packet_.get())) send(packet_.get(), on_frame);
    if (taken_ < wanted.size()) send(nullptr, on_frame);
    return taken_ == wanted.size();
  }

  int decoded() const { return decoded_; }
  int damaged_packets() const { return damaged_packets_; }
  std::string reason_text() const { return reason_ < 0 ? ": " + av_reason(reason_) : std::string(); }

 private:
  template <typename OnFrame>
  void send(const AVPacket* packet, const OnFrame& on_frame) {
    int result = avcodec_send_packet(decoder_.get(), packet);
    while (result >= 0) {
      result = avcodec_receive_frame(decoder_.get(), frame_.get());
      if (result >= 0) on_frame();
    }
    if (result != AVERROR(EAGAIN) && result != AVERROR_EOF) {
      ++damaged_packets_;
      reason_ = result;
    }
  }

  bool damaged_frame() const {
    return frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0;
  }

  void take_frame() {
    take_(taken_++, apply_orientation(rgb_from_video_frame(*frame_, name_), track_.orientation));
  }

  const std::string& name_;
  const VideoTrack& track_;
  const TakeFrame& take_;
  Demuxer demuxer_;
  DecoderPtr decoder_;
  PacketPtr packet_;
  FramePtr frame_;
  size_t taken_ = 0;
  int decoded_ = 0, damaged_packets_ = 0, reason_ = 0;
};

void check_options(const VideoOptions& options) {
  if (options.max_frames < 1 || options.max_frames > 100'000) {
    throw_error(ErrorKind::kBadRequest, "max_frames is {}; expected 1 … 100000", options.max_frames);
  }
  if (!(options.fps >= 0 && options.fps <= 1000)) {
    throw_error(ErrorKind::kBadRequest, "fps is {}; expected 0 (max_frames frames) … 1000", options.fps);
  }
}

}  // namespace

std::vector<int> sample_frames(int total, double source_fps, const VideoOptions& options) {
  check_options(options);
  int64_t count = options.max_frames;
  if (options.fps > 0) {
    const double frames = static_cast<double>(total) / source_fps * options.fps;
    count = static_cast<int64_t>(std::clamp(frames, 1.0, 8.0 * options.max_frames));
  }
  count = std::min<int64_t>(count, total);
  std::vector<int> index(count);
  for (int64_t j = 0; j < count; ++j) index[j] = static_cast<int>(j * total / count);
  return index;
}

VideoFrames decode_video(std::span<const uint8_t> file, const std::string& name, const VideoOptions& options,
                         const MediaLimits& limits, const TakeFrame& take) {
  check_options(options);
  if (static_cast<int64_t>(file.size()) > limits.max_file_bytes) {
    throw_error(ErrorKind::kTooLarge, "{}: {} bytes, the limit is {}", name, file.size(),
                limits.max_file_bytes);
  }
  if (file.empty()) throw_error(ErrorKind::kBadMedia, "{}: the video file is empty", name);
  quiet_av_log();
  const VideoTrack track = read_video_track(file, name, limits);

  VideoFrames video;
  video.source_fps = track.fps;
  const TakeFrame keep = [&](size_t k, Image&& frame) {
    if (k == 0) {
      video.frames.clear();
      video.width = frame.width;
      video.height = frame.height;
    }
    if (take) {
      take(k, std::move(frame));
    } else {
      video.frames.push_back(std::move(frame));
    }
  };
  const auto sample = [&](int total) {
    video.source_frames = total;
    video.index = sample_frames(total, track.fps, options);
  };
  sample(track.shown);
  const auto decode = [&] {
    if (const std::vector<int64_t> order = presentation_order(track); !order.empty()) {
      std::vector<int64_t> wanted;
      for (int i : video.index) wanted.push_back(order[i]);
      if (Pass(file, name, track, limits, keep).by_time(wanted)) return;
    }
    // Time stamps that do not lead to the frames: count them instead; twice when the packets promised too
    // many.
    for (int attempt = 0; attempt < 2; ++attempt) {
      Pass pass(file, name, track, limits, keep);
      if (pass.by_index(video.index)) return;
      if (pass.decoded() == 0 || pass.damaged_packets() > 0 || attempt == 1) {
        throw_error(ErrorKind::kBadMedia, "{}: damaged: {} of {} {} frames can be decoded{}", name,
                    pass.decoded(), track.shown, track.codec, pass.reason_text());
      }
      sample(pass.decoded());
    }
  };
  decode();
  for (int i : video.index) video.timestamp_s.push_back(i / track.fps);
  return video;
}

std::string timestamp_text(double s) {
  const auto whole = static_cast<int64_t>(std::clamp(s, 0.0, 1e12));
  return fmt::format("{:02}:{:02}", whole / 60, whole % 60);
}

}  // namespace tessera
