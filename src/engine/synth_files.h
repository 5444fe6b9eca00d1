#pragma once
// The JSON files of a synthetic checkpoint: the published configuration, and a stand-in tokenizer that covers
// every text.
#include <string>

namespace tessera {

/// The 12B's geometry, or that of the small test checkpoint, with `layers` decoder layers. config.json's
/// text.
std::string synth_config_json(bool tiny, int layers);
/// Of the drafter that goes with it.
std::string synth_drafter_json(bool tiny);
/// Nothing suppressed: the reference outputs of synthetic checkpoints suppress nothing.
std::string synth_generation_json(bool tiny);
std::string synth_processor_json();
/// Control tokens, bytes, digits, white space and role names at their published ids, further single
/// characters, and unreachable placeholders in between, so that ids are dense: any text can be tokenized, but
/// not as the real model would.
std::string synth_tokenizer_json(bool tiny);

}  // namespace tessera
