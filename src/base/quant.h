#pragma once
// Quantised weights in one neutral form: what the file formats (GGUF's blocks, MLX's affine groups) hand to
// the backends. Lossless: codes and scales keep the file's values and number formats.
#include <cstdint>

namespace tessera {

/// value = scale * (code - zero) + min, of input k with the scale and min of group k / group.
struct QuantLayout {
  enum class Scale : uint8_t {
    kF16,
    kBF16,
    kF32,
    kSuper,  // scale = super_scale * sub-scale, min = -super_min * sub-min; a super-block is 256 inputs
  };
  int bits = 0;   // bits that hold a code: 4, 5, 6 or 8
  int group = 0;  // inputs that share a scale: 16, 32, 64 or 128
  int zero = 0;   // 0 … 128; 0 when has_min
  Scale scale = Scale::kF16;
  bool has_min = false;
  bool table = false;  // the code is an index into kIq4Values and stands for that value

  bool operator==(const QuantLayout&) const = default;
};

inline constexpr int64_t kSuperBlock = 256;

/// IQ4_NL's values (docs/spec/formats.md §3).
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// One row in the neutral form; memory of the caller.
struct QuantRow {
  uint8_t* codes = nullptr;  // [cols] below 2^bits
  void* scales = nullptr;    // [cols / group] uint16 bits (kF16, kBF16), float (kF32), int8 (kSuper)
  void* mins = nullptr;      // [cols / group] the same types, but uint8 (kSuper); unused without has_min
  uint16_t* super_scales = nullptr;  // [cols / 256] float16 bits, kSuper only
  uint16_t* super_mins = nullptr;    // [cols / 256] float16 bits, kSuper with has_min only
};

}  // namespace tessera
