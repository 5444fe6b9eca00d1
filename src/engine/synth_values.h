#pragma once
// Deterministic weights from a tensor's name and an element's index, so that any program can compute them.
// docs/spec/synthetic.md.
#include <cstdint>
#include <span>
#include <string_view>

namespace tessera {

/// value = centre + half_range * (2u - 1), u uniform in [0, 1).
struct SynthLaw {
  float half_range = 0, centre = 0;
};

/// `name`: the published spelling; `last_dimension`: of the tensor's shape; `layers`: of the whole
/// checkpoint. The laws keep the residual stream at unit scale at any depth.
SynthLaw synth_law(std::string_view name, int64_t last_dimension, int layers);

/// FNV-1a, 64 bit.
uint64_t synth_seed(std::string_view name);

/// Elements first, first + 1, … of the tensor with this seed, as bfloat16. Pure; any thread.
void synth_values(uint64_t seed, const SynthLaw& law, int64_t first, std::span<uint16_t> out);

}  // namespace tessera
