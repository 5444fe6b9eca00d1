// MLX's "quantization" (docs/spec/formats.md §4.2) is only checked: the shapes of a module's codes and scales
// say how it is quantised (format/affine.h).
#include "base/error.h"
#include "model/config_parts.h"

namespace tessera {
namespace {

constexpr const char* kSupported =
    "affine quantisation with 2, 3, 4, 5, 6 or 8 bits and groups of 32, 64 or 128";

void check_affine_fields(const JsonFields& from) {
  if (from.text_or("mode", "affine") != "affine") from.refuse("mode", kSupported);
  if (from.integer_or("bits", 4, 2, 8) == 7) from.refuse("bits", kSupported);
  const int64_t group = from.integer_or("group_size", 64, 32, 128);
  if (group != 32 && group != 64 && group != 128) from.refuse("group_size", kSupported);
}

}  // namespace

void check_quantization(const JsonFields& top) {
  auto quantization = top.object("quantization");
  if (!quantization) quantization = top.object("quantization_config");
  if (!quantization) return;
  if (quantization->has("quant_method"))
    quantization->refuse("quant_method", std::string("absent: ") + kSupported);
  check_affine_fields(*quantization);
  for (const auto& [module, value] : quantization->json().items())
    if (value.is_object()) check_affine_fields(*quantization->object(module.c_str()));
}

}  // namespace tessera
