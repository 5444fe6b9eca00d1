#pragma once
// What a model path names: a Hugging Face directory or a GGUF file, with or without an mmproj.
#include <optional>
#include <string>

#include "format/tensor_file.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace tessera {

/// Opened and checked against itself; nothing of the weights is read.
struct ModelSource {
  TensorStore store;
  ModelConfig config;                  // as_stored
  std::optional<Tokenizer> tokenizer;  // a directory without tokenizer.json has none
  std::string mmproj;                  // the file used; "" for none
  std::string note;                    // about an mmproj that was not used; "" for none
};

/// `mmproj`: "" looks for one beside a GGUF (choose_mmproj). Throws Error(kIo | kBadModel), also for a
/// drafter, Error(kBadRequest) for an mmproj with a directory.
ModelSource open_model(const std::string& path, const std::string& mmproj);
/// A model or a drafter.
ModelSource open_any(const std::string& path, const std::string& mmproj);

/// A drafter: a directory (gemma4_unified_assistant) or a GGUF file (gemma4-assistant). Throws Error(kIo |
/// kBadModel).
ModelSource open_drafter(const std::string& path);

/// The geometry only: of a directory config.json and the like, of a GGUF the headers. Throws as above.
ModelConfig read_config(const std::string& path);

/// Throws Error(kIo | kBadModel | kTooLarge).
Tokenizer load_tokenizer(const std::string& path);

struct MmprojChoice {
  std::string path;  // "" for none
  bool sure = true;  // false: taken as the only one there, whatever its name says
  std::string note;  // why none was taken, or ""
};

/// The mmproj*.gguf beside a GGUF model whose name, without "mmproj" and the number format, is the beginning
/// of the model's (the longest such name; of equals the first by alphabet); else the only one there is.
MmprojChoice choose_mmproj(const std::string& model_path);

}  // namespace tessera
