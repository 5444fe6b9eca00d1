#pragma once
// File → named tensors. A TensorStore holds the maps of one model's weight files and finds tensors by their
// canonical name, whatever spelling or prefix the file uses.
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_map.h"

namespace tessera {

enum class FileType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kI8,
  kU8,
  kI16,
  kI32,
  kU32,
  kI64,
  kF64,
  kF8E4M3,
  kF8E5M2,
  kBool,
  // GGUF's block types (format/blocks.h)
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL
};

const char* to_string(FileType type);  // "F32", "BF16", … as the file spells it
int64_t type_bytes(FileType type);     // of one value; not for block types

/// How a file's order of values differs from the published checkpoint's, which FileTensor::shape speaks of.
/// Undone where rows are read (format/affine.h).
enum class StoredOrder : uint8_t {
  kAsPublished,
  kChannelsFirst,  // a row of pixels is [3][pixels], published [pixels][3]
  kAxesFirst       // [2][n][d], published [n][2][d]
};

/// One tensor as it lies in its file. Views into the store's maps.
struct FileTensor {
  std::string name;  // as the file spells it
  std::string file;  // path, for errors
  FileType type = FileType::kF32;
  StoredOrder order = StoredOrder::kAsPublished;
  std::vector<int64_t> shape;      // as published
  std::span<const uint8_t> bytes;  // row-major, little-endian; may be unaligned

  int64_t elements() const;
  std::string shape_text() const;  // "[3840, 6912]"
};

/// Canonical name = the published checkpoint's spelling ("model.language_model.layers.7.mlp.up_proj.weight",
/// "model.vision_embedder.patch_dense.weight", "model.embed_audio.embedding_projection.weight").
/// Accepts: a missing leading "model.", MLX's "language_model.model.", text-only "model.layers.…",
/// and transformers' in-memory vision names (model.embed_vision.patch_ln1…, …multimodal_embedder…).
/// A last part other than .weight (MLX's .scales, .biases; .bias) is kept. A name of no known module stays as
/// it is. Empty for a tensor to ignore (lm_head.*: a copy of the embedding).
std::string canonical_name(std::string_view file_name);

class GgufMetadata;

class TensorStore {
 public:
  /// The weights of a Hugging Face directory: model.safetensors, or the files of
  /// model.safetensors.index.json. Checks headers, ranges, overlaps, sizes. Throws Error(kIo | kBadModel).
  static TensorStore open_directory(const std::string& directory);
  /// One safetensors file. Throws as above.
  static TensorStore open_file(const std::string& path);
  /// A GGUF model: `path` is its file, or any of the parts of a split one (-00001-of-00003.gguf), which must
  /// all be beside it; `mmproj`: the file with its vision and audio tensors, or "". Shapes and names become
  /// the published ones. Throws as above, also for a file of another architecture than "gemma4" or its
  /// drafter's ("clip"). An output.weight that is a copy of the embedding is left out (64 rows are compared);
  /// any other is refused.
  static TensorStore open_gguf(const std::string& path, const std::string& mmproj);

  /// nullptr when absent. `canonical`: see canonical_name. Throws Error(kBadModel) for a tensor whose type
  /// this version does not know: such a file opens as long as nobody needs that tensor.
  const FileTensor* find(std::string_view canonical) const;
  const std::map<std::string, FileTensor, std::less<>>& tensors() const {
    return tensors_;
  }  // by canonical name
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The metadata of a GGUF model (of its first part) and of its mmproj; nullptr when there is none.
  const GgufMetadata* gguf() const { return gguf_.get(); }
  const GgufMetadata* mmproj() const { return mmproj_.get(); }
  /// Of all its files, in the order of their opening.
  std::vector<std::string> paths() const;
  int files() const { return static_cast<int>(maps_.size()); }
  int64_t file_bytes() const;

 private:
  void add_file(const std::string& path);
  std::shared_ptr<GgufMetadata> add_gguf(const std::string& path);
  void add_gguf_parts(const std::string& first);
  /// Under its canonical name. `unknown_type`: empty, or what to say when somebody needs it.
  void add(const std::string& canonical, FileTensor tensor, const std::string& unknown_type);
  void drop_copy_of_embedding();

  std::vector<std::unique_ptr<FileMap>> maps_;
  std::shared_ptr<GgufMetadata> gguf_, mmproj_;  // views into maps_
  std::map<std::string, FileTensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> unknown_types_;  // canonical name → what to say about it
  std::map<std::string, std::string> metadata_;
};

}  // namespace tessera
