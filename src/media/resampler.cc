#include "media/resampler.h"

extern "C" {
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
}

#include <algorithm>

#include "media/audio.h"
#include "media/av.h"

namespace tessera {

void Resampler::Free::operator()(SwrContext* p) const {
  swr_free(&p);
}

Resampler::Resampler(int rate_hz) : rate_hz_(rate_hz) {
  if (rate_hz == kSampleHz) return;
  AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;  // FFmpeg 5 takes it without const
  SwrContext* context = nullptr;
  int result = swr_alloc_set_opts2(&context, &mono, AV_SAMPLE_FMT_FLT, kSampleHz, &mono, AV_SAMPLE_FMT_FLT,
                                   rate_hz, 0, nullptr);
  context_.reset(context);
  // A windowed sinc of 64 taps (at the lower rate), exact phases for every rational ratio.
  if (result >= 0) result = av_opt_set_int(context, "filter_size", 64, 0);
  if (result >= 0) result = av_opt_set_int(context, "exact_rational", 1, 0);
  if (result >= 0) result = av_opt_set_double(context, "cutoff", 0.95, 0);
  if (result >= 0) result = av_opt_set_double(context, "kaiser_beta", 12, 0);
  if (result >= 0) result = swr_init(context);
  if (result < 0) {
    throw_error(ErrorKind::kBadMedia, "sound at {} Hz cannot become {} Hz: {}", rate_hz, kSampleHz,
                av_reason(result));
  }
}

void Resampler::convert(const float* samples, int count) {
  const int room = swr_get_out_samples(context_.get(), count);
  const size_t before = out_.size();
  out_.resize(before + std::max(room, 0));
  auto* to = reinterpret_cast<uint8_t*>(out_.data() + before);
  const auto* from = reinterpret_cast<const uint8_t*>(samples);
  const int made = swr_convert(context_.get(), &to, room, samples == nullptr ? nullptr : &from, count);
  if (made < 0) throw_error(ErrorKind::kBadMedia, "resampling from {} Hz: {}", rate_hz_, av_reason(made));
  out_.resize(before + made);
}

void Resampler::push(std::span<const float> samples) {
  pushed_ += static_cast<int64_t>(samples.size());
  if (!context_) {
    out_.insert(out_.end(), samples.begin(), samples.end());
    return;
  }
  convert(samples.data(), static_cast<int>(samples.size()));
}

std::vector<float> Resampler::finish() {
  if (context_ && pushed_ > 0) {
    convert(nullptr, 0);
    // The flush gives a sample more or less than the duration asks for.
    out_.resize(static_cast<size_t>((pushed_ * kSampleHz + rate_hz_ - 1) / rate_hz_));
  }
  return std::move(out_);
}

}  // namespace tessera
