#pragma once
// Flags that several commands share.
#include <CLI/App.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera::cli {

/// -m/--model; "" = the default model (model_path.h).
void add_model_flag(CLI::App& command, std::string& model);

/// --ctx --chunk --threads --backend --isa --kv --no-pack --pin --mlock --mmproj --draft-model --draft
/// --draft-position
struct EngineFlags {
  EngineOptions options;
  bool no_pack = false;
};
void add_engine_flags(CLI::App& command, EngineFlags& flags);
/// --draft-model --draft --draft-position
void add_draft_flags(CLI::App& command, EngineOptions& options);
void add_chunk_flag(CLI::App& command, EngineFlags& flags);  // --chunk alone
/// --threads --backend --isa --kv --no-pack --pin --mlock alone
void add_compute_flags(CLI::App& command, EngineFlags& flags);
void add_kv_flag(CLI::App& command, std::string& kv);  // --kv alone

/// --mmproj, for commands that load or look at a model.
void add_mmproj_flag(CLI::App& command, std::string& mmproj);

/// Loads with a progress bar on stderr. Throws as Engine::load does.
std::shared_ptr<Engine> load_engine(const std::string& model, const EngineFlags& flags);

/// --max-tokens --temp --top-k --top-p --min-p --repeat-penalty --presence-penalty --frequency-penalty --seed
/// --stop
struct SamplingFlags {
  GenerateOptions options;
  std::optional<float> temperature, top_p;  // absent: the model's default
  std::optional<int> top_k;
};
void add_sampling_flags(CLI::App& command, SamplingFlags& flags);
/// Fills in what the user left open from the model.
void resolve(SamplingFlags& flags, const ModelInfo& info);

/// --budget --frame-budget --frames --fps --video-sound
struct MediaFlags {
  int image_budget = 0, frame_budget = 0;  // 0: the model's default
  VideoOptions video;
  bool video_sound = false;
};
void add_media_flags(CLI::App& command, MediaFlags& flags);
/// Fills in what the user left open from the model.
void resolve(MediaFlags& flags, const MediaBudgets& budgets);

}  // namespace tessera::cli
