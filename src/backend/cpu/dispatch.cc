// The choice of instruction set, once, at run time.
#include <cstdlib>

#include "backend/cpu/kernels.h"
#include "base/error.h"

namespace tessera::cpu {
namespace {

bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

}  // namespace

const Kernels& choose_kernels(const std::string& isa) {
  if (isa.empty()) return has_avx512() ? avx512_kernels() : has_avx2() ? avx2_kernels() : portable_kernels();
  if (isa == "portable") return portable_kernels();
  if (isa != "avx2" && isa != "avx512")
    throw_error(ErrorKind::kBadRequest, "isa '{}' is unknown; choose portable, avx2 or avx512", isa);
  if (isa == "avx512" ? !has_avx512() : !has_avx2())
    throw_error(ErrorKind::kBadRequest, "isa '{}' is not available on this CPU; the best here is {}", isa,
                choose_kernels("").name);
  return isa == "avx512" ? avx512_kernels() : avx2_kernels();
}

}  // namespace tessera::cpu
