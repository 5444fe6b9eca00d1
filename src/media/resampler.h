#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct SwrContext;

namespace tessera {

/// Mono float samples from one rate to 16 kHz, in pieces. Output sample k lies at time k / 16000 of the
/// input: no delay, and ceil(samples * 16000 / rate) samples in all. At 16 kHz the samples are copied.
class Resampler {
 public:
  /// `rate_hz` > 0.
  explicit Resampler(int rate_hz);

  void push(std::span<const float> samples);
  /// Ends the input and returns the whole output.
  std::vector<float> finish();

  int64_t pushed_samples() const { return pushed_; }

 private:
  struct Free {
    void operator()(SwrContext* p) const;
  };
  void convert(const float* samples, int count);

  int rate_hz_;
  int64_t pushed_ = 0;
  std::unique_ptr<SwrContext, Free> context_;  // null at 16 kHz
  std::vector<float> out_;
};

}  // namespace tessera
