#pragma once
// The tile unit of newer Intel processors (AMX).

namespace tessera::cpu {

/// Whether this CPU multiplies tiles of bytes and of bfloat16 and the system lets this process use them,
/// which is asked for at the first call. Any thread.
bool amx_allowed();

/// Shapes of the eight tiles: 0 and 1 for activations, 2 and 3 for weights, 4 to 7 for sums. Lines of weights
/// and sums are 64 bytes.
struct TileLines {
  int a_lines, a_bytes, b_lines;  // sums have as many lines as a
};

}  // namespace tessera::cpu
