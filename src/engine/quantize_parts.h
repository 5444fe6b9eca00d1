#pragma once
// What convert shares with quantize: types by name, and the writing of a planned GGUF with its mmproj.
#include <cstdint>
#include <functional>
#include <string>

#include "engine/gguf_plan.h"
#include "engine/write_files.h"

namespace tessera {

inline constexpr uint32_t kMostlyBF16 = 32;  // general.file_type

/// "q8_0" … "f32". Throws Error(kBadRequest) naming `command`.
FileType matrix_type_of(const char* command, const std::string& type);

/// `wanted`, or what rows of this length can be.
FileType possible_type(FileType wanted, int64_t cols, Notes& notes);

struct GgufTarget {
  std::string out, mmproj_out;  // mmproj_out "": none
  int threads = 0;
  std::function<void(double)> on_progress;
};
/// `media_matrices`: type of the mmproj's two projections. Throws as quantize().
WriteReport write_gguf(const char* command, const SourceModel& source, const GgufPlan& text,
                       FileType media_matrices, const GgufTarget& target);

}  // namespace tessera
