#pragma once
// Two backends that share a model by its layers: the first ones on the card, the rest on the host
// (docs/DESIGN.md, Layers on the card and beside it).
#include <memory>

#include "backend/backend.h"

namespace tessera {

/// `card` has embedding, head, media and the first `card_layers` of `layers`; `host` the others and float32
/// activations. 0 < card_layers < layers.
std::unique_ptr<Backend> make_layered_backend(std::unique_ptr<Backend> card, std::unique_ptr<Backend> host,
                                              int card_layers, int layers);

}  // namespace tessera
