#include "engine/synth_values.h"

#include <bit>
#include <cmath>
#include <initializer_list>

namespace tessera {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;
// A constant trip count lets GCC vectorise the loop at -O2 too.
constexpr int kBlock = 64;

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  for (const std::string_view ending : endings)
    if (name.ends_with(ending)) return true;
  return false;
}

// "avx2" and not "arch=x86-64-v3": that one has FMA, and GCC would contract t * a + b into one rounding.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define TESSERA_SYNTH_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TESSERA_SYNTH_CLONES
#endif

/// kBlock elements; z0 = seed + (index of the first + 1) * kGolden.
TESSERA_SYNTH_CLONES
void block_values(uint64_t z0, float half_range, float centre, uint16_t* out) {
  for (int i = 0; i < kBlock; ++i) {
    uint64_t z = z0 + static_cast<uint64_t>(i) * kGolden;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    // u = k * 2^-24; 2u - 1 = (k - 2^23) * 2^-23 is exact in float32.
    const auto k = static_cast<int32_t>(static_cast<uint32_t>(z >> 40)) - (1 << 23);
    const float value = static_cast<float>(k) * 0x1p-23F * half_range + centre;
    const auto bits = std::bit_cast<uint32_t>(value);
    out[i] = static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);  // never NaN
  }
}

}  // namespace

SynthLaw synth_law(std::string_view name, int64_t last_dimension, int layers) {
  const double keep = std::exp(-3.2 / layers), gain = std::sqrt((1 - keep * keep) / (2 * keep * keep));
  const auto law = [](double half_range, double centre) {
    return SynthLaw{static_cast<float>(half_range), static_cast<float>(centre)};
  };
  if (ends_with_any(name, {"layer_scalar"})) return law(0.02 * keep, keep);
  if (ends_with_any(name, {"post_attention_layernorm.weight", "post_feedforward_layernorm.weight"}))
    return law(0.25 * gain, gain);
  if (ends_with_any(name, {"language_model.norm.weight", "model.norm.weight"})) return law(0.75, 3.0);
  if (ends_with_any(name, {"q_norm.weight", "k_norm.weight"})) return law(0.10, 0.35);
  if (ends_with_any(name, {"norm.weight", "ln1.weight", "ln2.weight"})) return law(0.25, 1.0);
  if (ends_with_any(name, {"bias"})) return law(0.1, 0.0);
  if (ends_with_any(name, {"pos_embedding"})) return law(0.5, 0.0);
  return law(std::sqrt(3.0 / static_cast<double>(last_dimension)), 0.0);  // variance 1 / fan-in
}

uint64_t synth_seed(std::string_view name) {
  uint64_t h = 0xCBF29CE484222325;
  for (const char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return h;
}

void synth_values(uint64_t seed, const SynthLaw& law, int64_t first, std::span<uint16_t> out) {
  size_t done = 0;
  const auto z_at = [&](size_t i) { return seed + (static_cast<uint64_t>(first) + i + 1) * kGolden; };
  for (; done + kBlock <= out.size(); done += kBlock)
    block_values(z_at(done), law.half_range, law.centre, out.data() + done);
  if (done == out.size()) return;
  uint16_t rest[kBlock];
  block_values(z_at(done), law.half_range, law.centre, rest);
  for (size_t i = 0; done + i < out.size(); ++i) out[done + i] = rest[i];
}

}  // namespace tessera
