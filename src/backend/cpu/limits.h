#pragma once
// Loops that do one thing as fast as this CPU can: what the kernels' rates are measured against.
#include <cstdint>

namespace tessera::cpu {

/// Multiply-adds in registers, as many independent chains as hide the latency. `run(rounds)` does
/// rounds * ops_per_round operations, a multiply and an add counting as two; its result only keeps the work
/// alive.
struct PeakLoop {
  const char* unit = nullptr;  // "vpdpbusd zmm"; nullptr: this CPU has no such unit
  int64_t ops_per_round = 0;
  float (*run)(int64_t rounds) = nullptr;
};

// `tiles`: on the tile unit, where this process may use one.
PeakLoop int8_peak(bool tiles);  // bytes into int32
PeakLoop f32_peak();
PeakLoop bf16_peak(bool tiles);  // pairs of bfloat16 into float32; no loop without the unit

/// Sum of [data, data + bytes) as 64-bit words, read in `streams` places at once; bytes: a multiple of
/// streams * 64.
uint64_t read_all(const void* data, int64_t bytes, int streams);

}  // namespace tessera::cpu
