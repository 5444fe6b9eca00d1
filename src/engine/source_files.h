#pragma once
// What a model has beside its weights, from either kind of source.
#include <string>

#include "engine/source_model.h"

namespace tessera {

struct TokenizerFile;  // text/tokenizer_file.h

/// Whether there is one: a drafter may come without, its model has it.
bool has_tokenizer(const SourceModel& source);
/// Of tokenizer.json or of the metadata. Throws Error(kIo | kBadModel).
TokenizerFile read_tokenizer_of(const SourceModel& source);

/// The chat template in Jinja; "" when the source has none.
std::string chat_template_of(const SourceModel& source);

/// general.name, or the name of the directory or file.
std::string model_name_of(const SourceModel& source);

}  // namespace tessera
