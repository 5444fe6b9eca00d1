#include "media/audio.h"

#include <algorithm>
#include <cmath>

#include "media/av.h"
#include "media/resampler.h"

extern "C" {
#include <libavutil/samplefmt.h>
}

namespace tessera {
namespace {

using namespace std::string_view_literals;

constexpr const char* kDecoders =
    "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le,pcm_s16be,pcm_s24be,pcm_alaw,pcm_mulaw,"
    "mp3float,flac,vorbis,opus,aac,alac";

// FFmpeg's name of the demuxer for these first bytes.
const char* demuxer_for(Bytes file, const std::string& name) {
  size_t at = 0;
  if (has(file, 0, "ID3"sv)) {  // its length is four 7-bit bytes; FLAC and AAC files carry it too
    size_t length = 0;
    for (size_t i = 6; i < 10; ++i) length = (length << 7) | (byte_at(file, i) & 0x7FU);
    at = 10 + length;
  }
  if (has(file, at, "fLaC"sv)) return "flac";
  if ((be16(file, at) & 0xFFF6) == 0xFFF0) return "aac";  // an ADTS header
  if (at > 0 || (be16(file, 0) & 0xFFE0) == 0xFFE0) return "mp3";
  if ((has(file, 0, "RIFF"sv) || has(file, 0, "RF64"sv)) && has(file, 8, "WAVE"sv)) return "wav";
  if (has(file, 0, "OggS"sv)) return "ogg";
  if (has(file, 4, "ftyp"sv) || has(file, 4, "moov"sv) || has(file, 4, "wide"sv)) return "mov";
  if (has(file, 0, "\x1a\x45\xdf\xa3"sv)) return "matroska";
  throw_error(
      ErrorKind::kBadMedia,
      "{}: not a sound this program reads: {} bytes starting {:02x} {:02x} {:02x} {:02x}; expected WAV, MP3, "
      "FLAC, Ogg, M4A, MP4, MOV or WebM",
      name, file.size(), byte_at(file, 0), byte_at(file, 1), byte_at(file, 2), byte_at(file, 3));
}

double to_unit(uint8_t v) {
  return (v - 128) / 128.0;
}
double to_unit(int16_t v) {
  return v / 32768.0;
}
double to_unit(int32_t v) {
  return v / 2147483648.0;
}  // 24-bit samples come shifted to the top
double to_unit(float v) {
  return v;
}
double to_unit(double v) {
  return v;
}

// Averages the channels of a frame, in double so that one channel stays exact.
template <typename T>
void mix_down(const AVFrame& frame, bool planar, std::vector<float>& mono) {
  const int channels = frame.ch_layout.nb_channels;
  for (int i = 0; i < frame.nb_samples; ++i) {
    double sum = 0;
    for (int c = 0; c < channels; ++c) {
      const uint8_t* base = planar ? frame.extended_data[c] : frame.extended_data[0];
      T value;
      std::memcpy(&value, base + (planar ? i : static_cast<int64_t>(i) * channels + c) * sizeof(T),
                  sizeof(T));
      sum += to_unit(value);
    }
    mono[i] = static_cast<float>(sum / channels);
  }
}

class Collector {
 public:
  Collector(const std::string& name, double stated_s, const MediaLimits& limits)
      : name_(name), stated_s_(stated_s), max_s_(limits.max_audio_s) {}

  void add(const AVFrame& frame) {
    const int channels = frame.ch_layout.nb_channels;
    if (frame.nb_samples <= 0) return;
    if (channels < 1 || channels > 64 || frame.sample_rate < 1000 || frame.sample_rate > 768'000) {
      throw_error(ErrorKind::kBadMedia,
                  "{}: sound with {} channels at {} Hz; expected 1 … 64 at 1000 … 768000 Hz", name_, channels,
                  frame.sample_rate);
    }
    if (!resampler_) {
      rate_hz_ = frame.sample_rate;
      resampler_.emplace(rate_hz_);
    }
    if (frame.sample_rate != rate_hz_) {
      throw_error(ErrorKind::kBadMedia, "{}: the sample rate changes from {} to {} Hz on the way", name_,
                  rate_hz_, frame.sample_rate);
    }
    const double duration_s = static_cast<double>(resampler_->pushed_samples() + frame.nb_samples) / rate_hz_;
    if (duration_s > max_s_) {
      throw_error(ErrorKind::kTooLarge,
                  "{}: the sound lasts at least {:.1f} s, the limit is {:.1f} s; cut it", name_,
                  std::max(duration_s, stated_s_), max_s_);
    }
    mix(frame);
    for (size_t i = 0; i < mono_.size(); ++i) {
      if (!std::isfinite(mono_[i])) {
        throw_error(ErrorKind::kBadMedia, "{}: sample {} is not a finite number", name_,
                    resampler_->pushed_samples() + static_cast<int64_t>(i));
      }
    }
    resampler_->push(mono_);
  }

  int64_t pushed_samples() const { return resampler_ ? resampler_->pushed_samples() : 0; }
  std::vector<float> finish() { return resampler_ ? resampler_->finish() : std::vector<float>(); }

 private:
  void mix(const AVFrame& frame) {
    mono_.resize(frame.nb_samples);
    const auto format = static_cast<AVSampleFormat>(frame.format);
    const bool planar = av_sample_fmt_is_planar(format) != 0;
    switch (av_get_packed_sample_fmt(format)) {
      case AV_SAMPLE_FMT_U8:
        return mix_down<uint8_t>(frame, planar, mono_);
      case AV_SAMPLE_FMT_S16:
        return mix_down<int16_t>(frame, planar, mono_);
      case AV_SAMPLE_FMT_S32:
        return mix_down<int32_t>(frame, planar, mono_);
      case AV_SAMPLE_FMT_FLT:
        return mix_down<float>(frame, planar, mono_);
      case AV_SAMPLE_FMT_DBL:
        return mix_down<double>(frame, planar, mono_);
      default:
        throw_error(ErrorKind::kBadMedia, "{}: samples of format {} are unknown", name_, frame.format);
    }
  }

  const std::string& name_;
  double stated_s_, max_s_;
  int rate_hz_ = 0;
  std::optional<Resampler> resampler_;
  std::vector<float> mono_;
};

}  // namespace

std::vector<float> decode_audio(std::span<const uint8_t> file, const std::string& name,
                                const MediaLimits& limits) {
  if (static_cast<int64_t>(file.size()) > limits.max_file_bytes) {
    throw_error(ErrorKind::kTooLarge, "{}: {} bytes, the limit is {}", name, file.size(),
                limits.max_file_bytes);
  }
  if (file.empty()) throw_error(ErrorKind::kBadMedia, "{}: the sound file is empty", name);
  quiet_av_log();
  const std::string_view format = demuxer_for(file, name);
  Demuxer demuxer(file, name, format.data(), kDecoders);
  const AVStream* stream = demuxer.select(AVMEDIA_TYPE_AUDIO, "sound track");
  const DecoderPtr decoder = open_stream_decoder(*stream, name, kDecoders, 0);
  const int64_t stated = demuxer.context()->duration;
  const double stated_s = stated == AV_NOPTS_VALUE ? 0 : static_cast<double>(stated) / AV_TIME_BASE;
  Collector collector(name, stated_s, limits);

  const PacketPtr packet = make_packet();
  const FramePtr frame = make_frame();
  int64_t packets = 0, damaged = 0;
  int reason = 0;
  const auto send = [&](const AVPacket* next) {
    const int sent = avcodec_send_packet(decoder.get(), next);
    if (sent < 0 && sent != AVERROR_EOF) {
      ++damaged;
      reason = sent;
    }
    for (;;) {
      const int got = avcodec_receive_frame(decoder.get(), frame.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return;
      if (got < 0) {
        ++damaged;
        reason = got;
        return;
      }
      collector.add(*frame);
    }
  };
  while (demuxer.read(packet.get())) {
    ++packets;
    send(packet.get());
  }
  send(nullptr);
  // Where a length is stated that can be trusted. WAV headers are often wrong; MP3, AAC and Ogg are made to
  // be cut.
  const bool short_flac =
      format == "flac" && stream->duration > 0 && collector.pushed_samples() < stream->duration;
  if (short_flac || (demuxer.cut_short() && (format == "mov" || format == "matroska"))) {
    throw_error(ErrorKind::kBadMedia,
                "{}: cut short: {} bytes hold {} samples, its header says {:.2f} s; fetch the file again",
                name, file.size(), collector.pushed_samples(), stated_s);
  }
  // A stream cut out of another one starts or ends inside a packet; more than that is a damaged file.
  if (damaged > 2 + packets / 100) {
    throw_error(ErrorKind::kBadMedia, "{}: {} of {} packets of {} sound cannot be decoded: {}", name, damaged,
                packets, avcodec_get_name(decoder->codec_id), av_reason(reason));
  }
  std::vector<float> samples = collector.finish();
  if (samples.empty()) {
    throw_error(ErrorKind::kBadMedia, "{}: no sound in it: {} packets of {}, no samples{}", name, packets,
                avcodec_get_name(decoder->codec_id), reason < 0 ? ": " + av_reason(reason) : "");
  }
  return samples;
}

AudioFrames to_frames(std::span<const float> samples, int samples_per_frame) {
  TS_CHECK(samples_per_frame >= 1, "{} samples per frame", samples_per_frame);
  const size_t per_frame = samples_per_frame, count = (samples.size() + per_frame - 1) / per_frame;
  AudioFrames frames{static_cast<int>(count), std::vector<float>(count * per_frame)};
  std::copy(samples.begin(), samples.end(), frames.values.begin());
  return frames;
}

}  // namespace tessera
