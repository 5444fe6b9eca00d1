// MLX's "quantization". docs/spec/formats.md §4.2.
#include "base/error.h"
#include "model/config_parts.h"

namespace tessera {
namespace {

constexpr const char* kSupported =
    "affine quantisation with 2, 3, 4, 5, 6 or 8 bits and groups of 32, 64 or 128";

/// bits and group_size of `from`; what it leaves out is `absent`.
AffineConfig read_affine(const JsonFields& from, const AffineConfig& absent) {
  if (from.text_or("mode", "affine") != "affine") from.refuse("mode", kSupported);
  AffineConfig affine;
  affine.bits = static_cast<int>(from.integer_or("bits", absent.bits, 2, 8));
  affine.group = static_cast<int>(from.integer_or("group_size", absent.group, 32, 128));
  if (affine.bits == 7) from.refuse("bits", kSupported);
  if (affine.group != 32 && affine.group != 64 && affine.group != 128) from.refuse("group_size", kSupported);
  return affine;
}

}  // namespace

void read_quantization(const JsonFields& top, ModelConfig& config) {
  auto quantization = top.object("quantization");
  if (!quantization) quantization = top.object("quantization_config");
  if (!quantization) return;
  if (quantization->has("quant_method"))
    quantization->refuse("quant_method", std::string("absent: ") + kSupported);
  config.affine_default = read_affine(*quantization, {4, 64});
  for (const auto& [module, value] : quantization->json().items()) {
    if (value.is_object())
      config.affine_of[module] = read_affine(*quantization->object(module.c_str()), config.affine_default);
    else if (value.is_boolean() && !value.get<bool>())
      config.affine_of[module] = {};
  }
}

}  // namespace tessera
