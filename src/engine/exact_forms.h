#pragma once
// One quantised format → another that has the same values, where there is one.
#include <optional>
#include <string>
#include <vector>

#include "engine/output_tensor.h"
#include "engine/source_model.h"

namespace tessera {

/// The GGUF type that holds an affine matrix exactly: Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0. Reads all its scales.
std::optional<FileType> exact_block_type(const SourceTensor& source);
/// An affine matrix as blocks of exact_block_type.
OutputTensor exact_blocks(std::string name, FileType type, const SourceTensor& source);

struct AffineForm {
  int bits = 0, group = 0;
  FileType scales = FileType::kBF16;  // of scales and biases
};

/// The affine form that holds a matrix exactly: its own; for Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 groups of 32
/// with float16 scales; for Q4_K and Q5_K groups of 32 with float32 scales. Nothing for plain matrices,
/// IQ4_NL and Q6_K (groups of 16). Reads the scales.
std::optional<AffineForm> exact_affine(const SourceTensor& source);
/// weight, scales and biases of a matrix in the form of exact_affine. `module`: MLX's path.
std::vector<OutputTensor> exact_affine_tensors(const std::string& module, const AffineForm& form,
                                               const SourceTensor& source);
/// The same three, quantised anew; scales and biases are BF16.
std::vector<OutputTensor> requantized_affine_tensors(const std::string& module, int bits, int group,
                                                     const SourceTensor& source);

}  // namespace tessera
