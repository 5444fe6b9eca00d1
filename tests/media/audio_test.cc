// Sound files as samples: exact for 16 kHz WAV, measured against ideal tones for the rest.
#include "media/audio.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "media_files.h"
#include "support/safetensors_reader.h"

namespace tessera {
namespace {

constexpr double kPi = 3.14159265358979323846;

std::vector<float> decode_fixture(const std::string& name) {
  return decode_audio(read_fixture("media/" + name), name);
}

struct Wav {
  int format = 1;  // 1 integer, 3 float, 0xFFFE extensible
  int channels = 1, rate_hz = kSampleHz, bits = 16;
  std::vector<uint8_t> data;
  int64_t stated_bytes = -1;  // of the data chunk, when it lies
};

template <typename T>
void append(std::vector<uint8_t>& to, T value, size_t bytes = sizeof(T)) {
  const auto* from = reinterpret_cast<const uint8_t*>(&value);
  to.insert(to.end(), from, from + bytes);
}

void append_text(std::vector<uint8_t>& to, const char* text) {
  to.insert(to.end(), text, text + std::strlen(text));
}

std::vector<uint8_t> wav_file(const Wav& wav, int subformat = 1) {
  std::vector<uint8_t> format;
  append(format, static_cast<uint16_t>(wav.format));
  append(format, static_cast<uint16_t>(wav.channels));
  append(format, static_cast<uint32_t>(wav.rate_hz));
  append(format, static_cast<uint32_t>(wav.rate_hz * wav.channels * wav.bits / 8));
  append(format, static_cast<uint16_t>(wav.channels * wav.bits / 8));
  append(format, static_cast<uint16_t>(wav.bits));
  if (wav.format == 0xFFFE) {
    append(format, static_cast<uint16_t>(22));
    append(format, static_cast<uint16_t>(wav.bits));
    append(format, static_cast<uint32_t>(wav.channels == 1 ? 4 : (1 << wav.channels) - 1));
    append(format, static_cast<uint16_t>(subformat));
    for (uint8_t b : {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71}) {
      format.push_back(b);
    }
  }
  std::vector<uint8_t> file;
  const size_t data_bytes = wav.stated_bytes < 0 ? wav.data.size() : static_cast<size_t>(wav.stated_bytes);
  append_text(file, "RIFF");
  append(file, static_cast<uint32_t>(20 + format.size() + data_bytes));
  append_text(file, "WAVEfmt ");
  append(file, static_cast<uint32_t>(format.size()));
  file.insert(file.end(), format.begin(), format.end());
  append_text(file, "data");
  append(file, static_cast<uint32_t>(data_bytes));
  file.insert(file.end(), wav.data.begin(), wav.data.end());
  return file;
}

// `count` sample values of `bits`, edges first.
std::vector<int64_t> integers(int bits, int count) {
  const int64_t half = int64_t{1} << (bits - 1);
  std::vector<int64_t> values{-half, half - 1, 0, 1, -1};
  std::mt19937_64 random(bits);
  while (values.size() < static_cast<size_t>(count)) {
    values.push_back(static_cast<int64_t>(random() % (2 * half)) - half);
  }
  return values;
}

TEST(Wav, IntegersAreDividedByTheirRange) {
  for (int bits : {8, 16, 24, 32}) {
    for (int format : {1, 0xFFFE}) {
      const std::vector<int64_t> values = integers(bits, 2000);
      Wav wav{format, 1, kSampleHz, bits, {}};
      for (int64_t v : values) append(wav.data, bits == 8 ? v + 128 : v, bits / 8);
      const std::vector<float> samples = decode_audio(wav_file(wav), "test.wav");
      ASSERT_EQ(samples.size(), values.size()) << bits << " bits, format " << format;
      for (size_t i = 0; i < values.size(); ++i) {
        const auto expected = static_cast<float>(std::ldexp(static_cast<double>(values[i]), 1 - bits));
        ASSERT_EQ(samples[i], expected) << bits << " bits, sample " << i;
      }
    }
  }
}

TEST(Wav, FloatsPassUnchanged) {
  for (int bits : {32, 64}) {
    for (int format : {3, 0xFFFE}) {
      Wav wav{format, 1, kSampleHz, bits, {}};
      std::vector<float> values{0.0F, 1.0F, -1.0F, 1e-20F, 0.1F, 1.5F};
      for (int i = 0; i < 500; ++i) values.push_back(static_cast<float>(std::sin(i * 0.3)));
      for (float v : values) {
        if (bits == 32) append(wav.data, v);
        if (bits == 64) append(wav.data, static_cast<double>(v));
      }
      EXPECT_EQ(decode_audio(wav_file(wav, 3), "test.wav"), values) << bits << " bits, format " << format;
    }
  }
}

TEST(Wav, ChannelsAreAveraged) {
  for (int channels : {2, 3, 6}) {
    Wav wav{channels > 2 ? 0xFFFE : 1, channels, kSampleHz, 16, {}};
    std::mt19937 random(channels);
    std::vector<float> expected;
    for (int i = 0; i < 700; ++i) {
      double sum = 0;
      for (int c = 0; c < channels; ++c) {
        const auto v = static_cast<int16_t>(random());
        append(wav.data, v);
        sum += v / 32768.0;
      }
      expected.push_back(static_cast<float>(sum / channels));
    }
    EXPECT_EQ(decode_audio(wav_file(wav), "test.wav"), expected) << channels;
  }
}

TEST(Wav, NotFiniteIsRefused) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Wav wav{3, 1, kSampleHz, 32, {}};
    for (int i = 0; i < 100; ++i) append(wav.data, i == 57 ? bad : 0.25F);
    EXPECT_ERROR(decode_audio(wav_file(wav), "bad.wav"), ErrorKind::kBadMedia,
                 "sample 57 is not a finite number");
  }
}

TEST(Wav, ALyingLengthGivesWhatIsThere) {
  Wav wav{1, 1, kSampleHz, 16, {}};
  for (int i = 0; i < 1000; ++i) append(wav.data, static_cast<int16_t>(i * 31));
  const std::vector<float> honest = decode_audio(wav_file(wav), "honest.wav");
  for (int64_t stated : {int64_t{0}, int64_t{0x7FFFFFFF}, int64_t{0xFFFFFFFF}, int64_t{1'000'000}}) {
    wav.stated_bytes = stated;
    EXPECT_EQ(decode_audio(wav_file(wav), "lying.wav"), honest) << stated;
  }
  wav.stated_bytes = 500;  // shorter than the file: the chunk's word is taken
  const std::vector<float> shorter = decode_audio(wav_file(wav), "short.wav");
  EXPECT_EQ(shorter, std::vector<float>(honest.begin(), honest.begin() + 250));
}

TEST(Wav, NoSamplesIsAnError) {
  EXPECT_ERROR(decode_audio(wav_file({1, 1, kSampleHz, 16, {}}), "none.wav"), ErrorKind::kBadMedia,
               "none.wav");
  EXPECT_ERROR(decode_audio({}, "empty.wav"), ErrorKind::kBadMedia, "empty");
  EXPECT_ERROR(decode_audio(read_fixture("media/rgb.png"), "rgb.png"), ErrorKind::kBadMedia, "89 50 4e 47");
  EXPECT_ERROR(decode_audio(read_fixture("media/index_h264.mp4"), "silent.mp4"), ErrorKind::kBadMedia,
               "sound track");
}

TEST(AudioLimits, DurationAndBytes) {
  Wav wav{1, 1, kSampleHz, 16, std::vector<uint8_t>(2 * kSampleHz * 3)};  // 3 s
  MediaLimits limits;
  limits.max_audio_s = 3;
  EXPECT_EQ(decode_audio(wav_file(wav), "three.wav", limits).size(), 3U * kSampleHz);
  limits.max_audio_s = 2.5;
  EXPECT_ERROR(decode_audio(wav_file(wav), "three.wav", limits), ErrorKind::kTooLarge,
               "3.0 s, the limit is 2.5 s");
  limits.max_file_bytes = 1000;
  EXPECT_ERROR(decode_audio(wav_file(wav), "three.wav", limits), ErrorKind::kTooLarge, "limit is 1000");
}

std::vector<float> resampled_tone(int rate_hz, double tone_hz, int count) {
  Wav wav{3, 1, rate_hz, 32, {}};
  for (int i = 0; i < count; ++i)
    append(wav.data, static_cast<float>(0.5 * std::sin(2 * kPi * tone_hz * i / rate_hz)));
  return decode_audio(wav_file(wav), "tone.wav");
}

// Signal-to-noise ratio in dB against amplitude * sin(2 pi tone t) in its given phase, `margin` samples in
// from each end.
double snr_db(const std::vector<float>& samples, double tone_hz, double amplitude, size_t margin) {
  double signal = 0, noise = 0;
  for (size_t i = margin; i + margin < samples.size(); ++i) {
    const double ideal = amplitude * std::sin(2 * kPi * tone_hz * static_cast<double>(i) / kSampleHz);
    signal += ideal * ideal;
    noise += (samples[i] - ideal) * (samples[i] - ideal);
  }
  return 10 * std::log10(signal / noise);
}

TEST(Resample, TonesKeepAmplitudeAndPhase) {
  for (int rate_hz : {8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000, 192000}) {
    const int count = rate_hz;  // 1 s
    const std::vector<float> samples = resampled_tone(rate_hz, 1000, count);
    EXPECT_EQ(samples.size(), static_cast<size_t>(kSampleHz)) << rate_hz;
    const double snr = snr_db(samples, 1000, 0.5, 400);
    EXPECT_GE(snr, 80) << rate_hz << " Hz";
    std::printf("1 kHz tone, %d -> 16000 Hz: %.1f dB\n", rate_hz, snr);
  }
}

TEST(Resample, AboveTheBandIsSuppressed) {
  for (double tone_hz : {9000.0, 12000.0, 20000.0}) {  // would fold to 7, 4 and 4 kHz
    double power = 0;
    const std::vector<float> samples = resampled_tone(44100, tone_hz, 44100);
    for (size_t i = 400; i + 400 < samples.size(); ++i) power += samples[i] * samples[i];
    const double level_db = 10 * std::log10(power / static_cast<double>(samples.size()) / 0.125 + 1e-30);
    EXPECT_LT(level_db, -80) << tone_hz;
  }
}

TEST(Resample, LengthIsExactForAnyLength) {
  for (int rate_hz : {8000, 44100, 48000, 11025, 96000}) {
    for (int count : {1, 2, 3, 10, 100, 441, 1023, 4410, 44101}) {
      const std::vector<float> samples = resampled_tone(rate_hz, 440, count);
      const int64_t expected = (int64_t{count} * kSampleHz + rate_hz - 1) / rate_hz;
      ASSERT_EQ(static_cast<int64_t>(samples.size()), expected) << count << " at " << rate_hz;
      for (float v : samples) ASSERT_LE(std::abs(v), 1.0F) << count << " at " << rate_hz;
    }
  }
}

// The files hold 0.4 s of 1 kHz, 0.4 on the left and 0.2 on the right: the average is 0.3.
TEST(DecodeAudio, EveryFormatGivesTheTone) {
  struct Case {
    const char* name;
    double min_snr_db;
    int samples, slack;
  };
  for (const Case& c : {Case{"tone.mp3", 24, 6400, 0},
                        {"tone.flac", 75, 6400, 0},
                        {"tone_vorbis.ogg", 20, 6400, 60},
                        {"tone.opus", 20, 6400, 8},
                        {"tone.m4a", 26, 6400, 350},
                        {"tone_alac.m4a", 75, 6400, 0},
                        {"tone_opus.webm", 20, 6400, 130},
                        {"tone_24bit.wav", 75, 800, 0},
                        {"tone_float.wav", 80, 800, 0}}) {
    const std::vector<float> samples = decode_fixture(c.name);
    EXPECT_NEAR(static_cast<double>(samples.size()), c.samples, c.slack) << c.name;
    const double snr = snr_db(samples, 1000, 0.3, samples.size() < 2000 ? 200 : 1000);
    EXPECT_GE(snr, c.min_snr_db) << c.name;
    std::printf("%s: %zu samples, %.1f dB\n", c.name, samples.size(), snr);
  }
}

TEST(DecodeAudio, AdtsHasNoDelayInformation) {
  const std::vector<float> samples = decode_fixture("tone.aac");
  double power = 0;
  for (float v : samples) power += v * v;
  EXPECT_NEAR(static_cast<double>(samples.size()), 6400, 1200);  // the encoder's priming samples stay
  EXPECT_NEAR(std::sqrt(power / 6400 * 2), 0.3, 0.02);
}

TEST(DecodeAudio, SoundTrackOfAVideo) {
  const std::vector<float> samples = decode_fixture("with_sound.mp4");
  EXPECT_NEAR(static_cast<double>(samples.size()), 2 * kSampleHz, 1200);
  EXPECT_GE(snr_db(samples, 1000, 0.4, 2000), 25);
}

TEST(DecodeAudio, GoldenFeaturesAreEqual) {
  const auto golden = read_golden(fixture("tiny/golden.safetensors"));
  for (const auto& [name, file] :
       {std::pair{"audio", "chirp.wav"}, {"audio_short", "short.wav"}, {"mixed", "chirp.wav"}}) {
    const AudioFrames frames = to_frames(decode_audio(read_fixture(std::string("tiny/media/") + file), file));
    const GoldenTensor& expected = golden.at(std::string(name) + "/input_features");
    EXPECT_EQ(frames.count, expected.shape[0]) << name;
    EXPECT_EQ(frames.values, expected.f32()) << name;
  }
}

TEST(Frames, LastOneIsPaddedWithZeros) {
  for (size_t count : {size_t{0}, size_t{1}, size_t{639}, size_t{640}, size_t{641}, size_t{12800}}) {
    const std::vector<float> samples(count, 0.5F);
    const AudioFrames frames = to_frames(samples);
    EXPECT_EQ(frames.count, static_cast<int>((count + 639) / 640));
    ASSERT_EQ(frames.values.size(), static_cast<size_t>(frames.count) * 640);
    for (size_t i = 0; i < frames.values.size(); ++i)
      ASSERT_EQ(frames.values[i], i < count ? 0.5F : 0.0F) << i;
  }
  EXPECT_EQ(to_frames(std::vector<float>(11, 1.0F), 4).count, 3);
}

}  // namespace
}  // namespace tessera
