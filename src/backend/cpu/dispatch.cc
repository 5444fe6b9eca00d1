// The choice of instruction set, once, at run time.
#include <fmt/ranges.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <string>
#include <vector>

#include "backend/cpu/amx.h"
#include "backend/cpu/kernels.h"
#include "base/error.h"

namespace tessera::cpu {
namespace {

struct Isa {
  const char* name;
  const Kernels& (*kernels)();
  bool available;
};

// Best first.
std::vector<Isa> instruction_sets() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Every processor with AVX2 converts float16, too; clang 14 has no name to ask for that.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  // GCC 12 has no name for AVX-VNNI here: leaf 7, subleaf 1, EAX bit 4.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool avxvnni = avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 16U) != 0;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  return {{"amx", amx_kernels, avx512 && amx_allowed()},
          {"avx512", avx512_kernels, avx512},
          {"avxvnni", avxvnni_kernels, avxvnni},
          {"avx2", avx2_kernels, avx2},
          {"portable", portable_kernels, true}};
#elif defined(__aarch64__)
  const bool dot_product = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  return {{"neon", neon_kernels, dot_product}, {"portable", portable_kernels, true}};
#else
  return {{"portable", portable_kernels, true}};
#endif
}

}  // namespace

const Kernels& choose_kernels(const std::string& isa) {
  std::vector<std::string> names;
  for (const Isa& set : instruction_sets()) {
    if (set.available && (isa.empty() || isa == set.name)) return set.kernels();
    if (isa == set.name)
      throw_error(ErrorKind::kBadRequest, "isa '{}' is not available on this CPU; the best here is {}", isa,
                  choose_kernels("").name);
    names.emplace_back(set.name);
  }
  throw_error(ErrorKind::kBadRequest, "isa '{}' is unknown; choose one of {}", isa, fmt::join(names, ", "));
}

}  // namespace tessera::cpu
