// float32 → blocks. The work is in quantize_kernels.inc, compiled here for each instruction set.
#include "base/dtype.h"
#include "base/error.h"
#include "format/blocks.h"
#include "format/quantize_isa.h"

namespace tessera::quantize_portable {
namespace {
constexpr int kLanes = 4;
#include "format/quantize_kernels.inc"
}  // namespace
}  // namespace tessera::quantize_portable

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
namespace tessera::quantize_avx2 {
namespace {
constexpr int kLanes = 8;
#include "format/quantize_kernels.inc"
}  // namespace
}  // namespace tessera::quantize_avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif
namespace tessera::quantize_avx512 {
namespace {
constexpr int kLanes = 16;
#include "format/quantize_kernels.inc"
}  // namespace
}  // namespace tessera::quantize_avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace tessera {

bool quantize_blocks_on(QuantizeIsa isa, FileType type, const float* from, int64_t values, uint8_t* out) {
  if (isa == QuantizeIsa::kPortable) {
    quantize_portable::quantize(type, from, values, out);
    return true;
  }
#if defined(__x86_64__)
  if (isa == QuantizeIsa::kAvx2) {
    if (!__builtin_cpu_supports("avx2")) return false;
    quantize_avx2::quantize(type, from, values, out);
    return true;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return false;
  quantize_avx512::quantize(type, from, values, out);
  return true;
#else
  return false;
#endif
}

void quantize_blocks(FileType type, const float* from, int64_t values, uint8_t* out) {
  if (type != FileType::kQ8_0 && type != FileType::kQ4_0 && type != FileType::kQ4_K &&
      type != FileType::kQ6_K)
    throw_error(ErrorKind::kBadRequest, "weights cannot be written as {}; choose Q8_0, Q4_0, Q4_K or Q6_K",
                to_string(type));
  TS_CHECK(values % block_values(type) == 0, "{} values of {}", values, to_string(type));
  for (const QuantizeIsa isa : {QuantizeIsa::kAvx512, QuantizeIsa::kAvx2, QuantizeIsa::kPortable})
    if (quantize_blocks_on(isa, type, from, values, out)) return;
}

}  // namespace tessera
