#pragma once
// What a GGUF file of a model holds: metadata and tensors, as llama.cpp's reader wants them
// (docs/spec/formats.md §2).
#include <functional>
#include <string>
#include <vector>

#include "engine/output_tensor.h"
#include "engine/source_model.h"
#include "format/gguf_writer.h"

namespace tessera {

struct GgufPlan {
  GgufHeader header;
  std::vector<OutputTensor> tensors;  // keep references to the source

  std::vector<GgufWriter::Entry> entries() const;
};

/// What becomes of a matrix of the text model. Vectors are F32 always.
using ChooseMatrix = std::function<OutputTensor(std::string name, const SourceTensor& source)>;

/// `file_type`: general.file_type. A GGUF source's metadata is taken over. Throws Error(kBadModel) without a
/// tokenizer, Error(kBadRequest) for a geometry that GGUF has no keys for.
GgufPlan plan_text(const SourceModel& source, uint32_t file_type, const ChooseMatrix& choose);

/// The vision and audio paths; `matrices`: type of the two projections, F32, F16 or BF16. Throws
/// Error(kBadRequest) when the model has neither.
GgufPlan plan_media(const SourceModel& source, FileType matrices);

}  // namespace tessera
