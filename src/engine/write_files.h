#pragma once
// What quantize and convert share: options checked, disk space, the report.
#include <map>
#include <string>
#include <vector>

#include "engine/output_tensor.h"
#include "tessera/tessera.h"

namespace tessera {

/// Throws Error(kBadRequest) naming `command`.
void check_threads(const char* command, int threads);
/// Refuses a path that is one of the model's own files. Throws Error(kBadRequest).
void check_output(const char* command, const std::string& out, const SourceModel& source);
/// Throws Error(kTooLarge) with both numbers.
void check_free_space(const std::string& out, int64_t bytes);

/// Adds tensors to the report's counts; sort_dtypes() at the end.
void count_tensors(const std::vector<OutputTensor>& tensors, WriteReport& report);

/// Sentences with how many tensors each is about.
class Notes {
 public:
  void add(const std::string& sentence) { ++count_[sentence]; }
  /// "12 matrices: SENTENCE"
  std::vector<std::string> texts() const;

 private:
  std::map<std::string, int> count_;
};

}  // namespace tessera
