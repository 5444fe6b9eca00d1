#pragma once
// Number formats and their conversions.
#include <bit>
#include <cstdint>

namespace tessera {

/// Activations: float32 or int32. Weights: how a backend finds them in the file's bytes.
enum class DType : uint8_t { kF32, kBF16, kF16, kI32, kQuant };  // kQuant: codes and scales, the backend knows how

constexpr int64_t dtype_bytes(DType t) {
  return t == DType::kF32 || t == DType::kI32 ? 4 : 2;
}

inline float bf16_to_f32(uint16_t v) {
  return std::bit_cast<float>(static_cast<uint32_t>(v) << 16);
}

/// Nearest, ties to even; a NaN stays a quiet NaN.
inline uint16_t f32_to_bf16(float v) {
  const auto u = std::bit_cast<uint32_t>(v);
  if ((u & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>((u >> 16) | 0x40U);
  return static_cast<uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16);
}

inline float f16_to_f32(uint16_t v) {
  const uint32_t sign = (v & 0x8000U) << 16, exponent = (v >> 10) & 31U, mantissa = v & 0x3ffU;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in float32
    const float m = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -m : m;
  }
  const uint32_t e = exponent == 31 ? 255U : exponent + 112U;
  return std::bit_cast<float>(sign | (e << 23) | (mantissa << 13));
}

/// Nearest, ties to even; from 65520 on infinity; a NaN stays a quiet NaN.
inline uint16_t f32_to_f16(float v) {
  const auto u = std::bit_cast<uint32_t>(v);
  const uint32_t sign = (u >> 16) & 0x8000U, magnitude = u & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<uint16_t>(sign | 0x7e00U | ((magnitude >> 13) & 0x3ffU));
  if (magnitude >= 0x477ff000U) return static_cast<uint16_t>(sign | 0x7c00U);
  if (magnitude < 0x38800000U) {  // subnormal: beside 0.5 the last bit of a float32 is 2^-24, the unit here
    const float moved = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(moved) - 0x3f000000U));
  }
  const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112U << 10)));
}

}  // namespace tessera
