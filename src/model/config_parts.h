#pragma once
// The parts of ModelConfig::load: each reads one section of the model's JSON files into `config`.
#include "model/config.h"
#include "model/json_fields.h"

namespace tessera {

// Bounds of what any file may ask for: products of two of them fit an int64.
inline constexpr int kMaxLayers = 1024, kMaxHidden = 65536, kMaxIntermediate = 1 << 20, kMaxHeads = 1024,
                     kMaxHeadDim = 4096, kMaxVocab = 1 << 24, kMaxContext = 1 << 24;
// What this engine's media code cuts: 48 x 48 pixels, 40 ms of 16 kHz sound.
inline constexpr int kPatchPixels = 48, kAudioSamples = 640, kAudioHz = 16000;

/// config.json's text_config (or the whole of a text-only file): geometry, layers, rope, and a refusal of
/// every feature of sibling models that this engine does not compute. config.drafter: all layers share K and
/// V. Throws Error(kBadModel).
void read_text_config(const JsonFields& text, ModelConfig& config);

/// What holds for every layer, whatever the file: even head_dim, KV heads that divide the query heads.
/// Throws Error(kBadModel) naming `file` and the layer.
void check_layers(const ModelConfig& config, const std::string& file);

/// sqrt(hidden) rounded to bfloat16, as Google's code does: 62.0 for 3840, 8.0 for 64.
float embed_scale_of(int hidden);

/// "quantization" / "quantization_config" at the top of config.json. Throws Error(kBadModel) for modes other
/// than affine.
void check_quantization(const JsonFields& top);

}  // namespace tessera
