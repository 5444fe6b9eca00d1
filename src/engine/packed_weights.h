#pragma once
// Where the cpu backend's packed weights of a model are kept for the next start.
#include <memory>
#include <string>

#include "base/pack_file.h"
#include "format/tensor_file.h"
#include "tessera/tessera.h"

namespace tessera {

/// The file in `directory` for this model, found filled or to be filled. nullptr when there is no directory
/// or the model is so small that packing takes less than a second; also when it cannot be written, which
/// `info.note` then says.
std::unique_ptr<PackFile> open_packed_weights(const std::string& directory, const TensorStore& store,
                                              ModelInfo& info);

}  // namespace tessera
