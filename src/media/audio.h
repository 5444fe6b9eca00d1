#pragma once
// Sound files as 16 kHz mono samples, and those as the model's 40-ms frames.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera {

inline constexpr int kSampleHz = 16'000;
inline constexpr int kSamplesPerFrame = 640;  // 40 ms, one soft token

/// WAV, MP3, FLAC, Ogg (Vorbis, Opus, FLAC), ADTS AAC, and the sound track of MP4, M4A, MOV, WebM and
/// Matroska, told apart by their first bytes, as 16 kHz mono in [-1, 1]: b-bit integers are divided by
/// 2^(b-1), channels averaged, other rates resampled to ceil(samples * 16000 / rate) samples. 16 kHz mono
/// passes through exactly. `name` is used in errors only. Throws kBadMedia (unknown, corrupt, no sound track,
/// zero samples, a float sample that is not finite) and kTooLarge (file bytes, duration; memory stays below
/// the limit's samples). Any thread.
std::vector<float> decode_audio(std::span<const uint8_t> file, const std::string& name,
                                const MediaLimits& limits = {});

struct AudioFrames {
  int count = 0;
  std::vector<float> values;  // [count, samples_per_frame], zeros after the last sample
};

/// ceil(samples / samples_per_frame) frames. `samples_per_frame` >= 1 (TS_CHECK). Pure; any thread.
AudioFrames to_frames(std::span<const float> samples, int samples_per_frame = kSamplesPerFrame);

}  // namespace tessera
