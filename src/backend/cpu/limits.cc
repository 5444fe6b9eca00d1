// Each loop carries its own target attribute and is called only where the CPU has the instructions.
#include "backend/cpu/limits.h"

#include <cstring>

#include "backend/cpu/amx.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace tessera::cpu {
namespace {

// Two units with a latency of 4 or 5 need 8 to 10; 16 registers hold no more than 14 beside the operands.
constexpr int64_t kChains = 12;
constexpr int64_t kLine = 64;

#if defined(__aarch64__)
#define TS_REGISTER "+w"
#else
#define TS_REGISTER "+v"
#endif

// A loop of kChains independent accumulators. They have names because an array of them lands in memory, and
// the compiler is told nothing of their values, or it would make one chain of them.
#define TS_PEAK(attributes, name, vec, lane, x, y, op)                                                   \
  attributes float name(int64_t rounds) {                                                                \
    lane x_lanes[sizeof(vec) / sizeof(lane)], y_lanes[sizeof(vec) / sizeof(lane)];                       \
    for (size_t i = 0; i < sizeof(vec) / sizeof(lane); ++i) x_lanes[i] = (x), y_lanes[i] = (y);          \
    vec a, b, c0 = {}, c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;                                      \
    vec c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0, c11 = c0;                                          \
    std::memcpy(&a, x_lanes, sizeof a);                                                                  \
    std::memcpy(&b, y_lanes, sizeof b);                                                                  \
    asm volatile(""                                                                                      \
                 : TS_REGISTER(c0), TS_REGISTER(c1), TS_REGISTER(c2), TS_REGISTER(c3), TS_REGISTER(c4),  \
                   TS_REGISTER(c5), TS_REGISTER(a));                                                     \
    asm volatile(""                                                                                      \
                 : TS_REGISTER(c6), TS_REGISTER(c7), TS_REGISTER(c8), TS_REGISTER(c9), TS_REGISTER(c10), \
                   TS_REGISTER(c11));                                                                    \
    for (int64_t r = 0; r < rounds; ++r) {                                                               \
      c0 = op(c0, a, b), c1 = op(c1, a, b), c2 = op(c2, a, b);                                           \
      c3 = op(c3, a, b), c4 = op(c4, a, b), c5 = op(c5, a, b);                                           \
      c6 = op(c6, a, b), c7 = op(c7, a, b), c8 = op(c8, a, b);                                           \
      c9 = op(c9, a, b), c10 = op(c10, a, b), c11 = op(c11, a, b);                                       \
    }                                                                                                    \
    c0 += c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11;                                        \
    return static_cast<float>(c0[0]);                                                                    \
  }

// Without intrinsics: vectors of 16 bytes. Bytes are multiplied as 16-bit numbers.
using Int16s = int16_t __attribute__((vector_size(16)));
using Floats = float __attribute__((vector_size(16)));
using Words = uint64_t __attribute__((vector_size(64)));
#define TS_MULTIPLY_ADD(acc, a, b) ((acc) * (a) + (b))

TS_PEAK(, portable_int8, Int16s, int16_t, 3, -2, TS_MULTIPLY_ADD)
TS_PEAK(, portable_f32, Floats, float, 0.5F, 0.25F, TS_MULTIPLY_ADD)

uint64_t portable_read(const uint8_t* data, int64_t bytes, int streams) {
  const int64_t part = bytes / streams;
  Words acc = {};
  for (int64_t at = 0; at < part; at += kLine)
    for (int s = 0; s < streams; ++s) acc += *reinterpret_cast<const Words*>(data + s * part + at);
  uint64_t sum = 0;
  for (int i = 0; i < 8; ++i) sum += acc[i];
  return sum;
}

#define TS_TARGET(features) __attribute__((target(features)))

#if defined(__x86_64__)

// Without VNNI: bytes into pairs of 16 bits, those into 32 bits, one add; all on the chain, or chains would
// share them.
#define TS_MADDUBS(acc, a, b) _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(acc, b), a))
#define TS_DPBF16(acc, a, b) _mm512_dpbf16_ps(acc, (__m512bh)(a), (__m512bh)(b))

TS_PEAK(TS_TARGET("avx512f,avx512bw,avx512vnni"), vnni512, __m512i, int8_t, 3, -2, _mm512_dpbusd_epi32)
TS_PEAK(TS_TARGET("avx2,avxvnni"), vnni256, __m256i, int8_t, 3, -2, _mm256_dpbusd_avx_epi32)
TS_PEAK(TS_TARGET("avx2"), maddubs256, __m256i, int8_t, 3, -2, TS_MADDUBS)
TS_PEAK(TS_TARGET("avx512f"), fma512, __m512, float, 0.5F, 0.25F, _mm512_fmadd_ps)
TS_PEAK(TS_TARGET("avx2,fma"), fma256, __m256, float, 0.5F, 0.25F, _mm256_fmadd_ps)
TS_PEAK(TS_TARGET("avx512f,avx512bf16"), dpbf16, __m512, uint16_t, 0x3F00, 0x3E80, TS_DPBF16)

TS_TARGET("avx512f") uint64_t read512(const uint8_t* data, int64_t bytes, int streams) {
  const int64_t part = bytes / streams;
  __m512i acc = _mm512_setzero_si512();
  for (int64_t at = 0; at < part; at += kLine)
    for (int s = 0; s < streams; ++s) acc = _mm512_add_epi64(acc, _mm512_load_si512(data + s * part + at));
  uint64_t sum = 0;
  for (int i = 0; i < 8; ++i) sum += static_cast<uint64_t>(acc[i]);
  return sum;
}

TS_TARGET("avx2") uint64_t read256(const uint8_t* data, int64_t bytes, int streams) {
  const int64_t part = bytes / streams;
  __m256i acc = _mm256_setzero_si256();
  for (int64_t at = 0; at < part; at += kLine)
    for (int s = 0; s < streams; ++s) {
      const auto* p = reinterpret_cast<const __m256i*>(data + s * part + at);
      acc = _mm256_add_epi64(acc, _mm256_add_epi64(_mm256_load_si256(p), _mm256_load_si256(p + 1)));
    }
  return static_cast<uint64_t>(acc[0] + acc[1] + acc[2] + acc[3]);
}

#include "backend/cpu/tile_unit.inc"

// Four tiles of sums hide a latency of three products.
template <bool kBytes>
float tile_peak(int64_t rounds) {
  AmxUnit::configure({16, 64, 16});
  for (int64_t r = 0; r < rounds; ++r) {
    if constexpr (kBytes) {
      AmxUnit::dot_bytes<false, 4, 0, 2>();
      AmxUnit::dot_bytes<false, 5, 0, 3>();
      AmxUnit::dot_bytes<false, 6, 1, 2>();
      AmxUnit::dot_bytes<false, 7, 1, 3>();
    } else {
      AmxUnit::dot_bf16<4, 0, 2>();
      AmxUnit::dot_bf16<5, 0, 3>();
      AmxUnit::dot_bf16<6, 1, 2>();
      AmxUnit::dot_bf16<7, 1, 3>();
    }
  }
  AmxUnit::release();
  return 0;
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// Not a name that every compiler's __builtin_cpu_supports knows.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}

#elif defined(__aarch64__)

#define TS_SDOT(acc, a, b) vdotq_s32(acc, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))
#define TS_FMLA(acc, a, b) vfmaq_f32(acc, a, b)

#if defined(__clang__)
TS_PEAK(TS_TARGET("dotprod"), sdot, int32x4_t, int8_t, 3, -2, TS_SDOT)
#else
TS_PEAK(TS_TARGET("arch=armv8.2-a+dotprod"), sdot, int32x4_t, int8_t, 3, -2, TS_SDOT)
#endif
TS_PEAK(, fmla, float32x4_t, float, 0.5F, 0.25F, TS_FMLA)

#endif

}  // namespace

PeakLoop int8_peak([[maybe_unused]] bool tiles) {
#if defined(__x86_64__)
  if (tiles && amx_allowed()) return {"tdpbssd", int64_t{4} * 16 * 16 * 64 * 2, tile_peak<true>};
  if (has_avx512() && __builtin_cpu_supports("avx512vnni"))
    return {"vpdpbusd zmm", kChains * 64 * 2, vnni512};
  if (has_avx_vnni()) return {"vpdpbusd ymm", kChains * 32 * 2, vnni256};
  if (has_avx2()) return {"vpmaddubsw ymm", kChains * 32 * 2, maddubs256};
#elif defined(__aarch64__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) return {"sdot", kChains * 16 * 2, sdot};
#endif
  return {"portable", kChains * 8 * 2, portable_int8};
}

PeakLoop f32_peak() {
#if defined(__x86_64__)
  if (has_avx512()) return {"vfmadd zmm", kChains * 16 * 2, fma512};
  if (has_avx2()) return {"vfmadd ymm", kChains * 8 * 2, fma256};
#elif defined(__aarch64__)
  return {"fmla", kChains * 4 * 2, fmla};
#endif
  return {"portable", kChains * 4 * 2, portable_f32};
}

PeakLoop bf16_peak([[maybe_unused]] bool tiles) {
#if defined(__x86_64__)
  if (tiles && amx_allowed()) return {"tdpbf16ps", int64_t{4} * 16 * 16 * 32 * 2, tile_peak<false>};
  if (has_avx512() && __builtin_cpu_supports("avx512bf16"))
    return {"vdpbf16ps zmm", kChains * 32 * 2, dpbf16};
#endif
  return {};
}

uint64_t read_all(const void* data, int64_t bytes, int streams) {
  const auto* p = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  if (has_avx512()) return read512(p, bytes, streams);
  if (has_avx2()) return read256(p, bytes, streams);
#endif
  return portable_read(p, bytes, streams);
}

}  // namespace tessera::cpu
