#include "media/silence.h"

#include <algorithm>

#include "base/error.h"
#include "media/audio.h"

namespace tessera {
namespace {

constexpr size_t kHop = kSampleHz / 100;  // 10 ms
constexpr size_t kQuietHops = 30;         // 300 ms: a pause between phrases

}  // namespace

std::vector<std::pair<size_t, size_t>> cut_at_silences(std::span<const float> samples, size_t longest) {
  TS_CHECK(longest >= static_cast<size_t>(kSampleHz), "segments of {} samples", longest);
  std::vector<double> energy_to((samples.size() + kHop - 1) / kHop + 1, 0.0);  // of all hops before
  for (size_t hop = 0; hop + 1 < energy_to.size(); ++hop) {
    double sum = 0;
    for (size_t i = hop * kHop; i < std::min(samples.size(), (hop + 1) * kHop); ++i)
      sum += double{samples[i]} * samples[i];
    energy_to[hop + 1] = energy_to[hop] + sum;
  }
  std::vector<std::pair<size_t, size_t>> ranges;
  size_t begin = 0;
  while (samples.size() - begin > longest) {
    const size_t last = (begin + longest) / kHop - kQuietHops;
    size_t best = last;
    double least = 0;
    // Of equal ones the latest: fewer segments.
    for (size_t hop = last; hop * kHop > begin + longest / 2; --hop) {
      const double energy = energy_to[hop + kQuietHops] - energy_to[hop];
      if (hop == last || energy < least) best = hop, least = energy;
    }
    const size_t end = (best + kQuietHops / 2) * kHop;
    ranges.emplace_back(begin, end);
    begin = end;
  }
  if (begin < samples.size() || ranges.empty()) ranges.emplace_back(begin, samples.size());
  return ranges;
}

}  // namespace tessera
