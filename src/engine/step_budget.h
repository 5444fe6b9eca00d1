#pragma once
// How many rows of prompts may go into a step beside the tokens of running replies. Told how long steps took,
// it knows no clock.
#include <algorithm>
#include <cstdint>

namespace tessera {

class StepBudget {
 public:
  /// `max_step_ms`: what prompts may add to a step that others decode in. `chunk_tokens`: rows of a step in
  /// which nobody does.
  StepBudget(double max_step_ms, int64_t chunk_tokens) : max_step_ms_(max_step_ms), chunk_(chunk_tokens) {}

  int64_t prefill_rows(bool others_decode) const {
    return others_decode ? std::clamp<int64_t>(static_cast<int64_t>(rows_), 1, chunk_) : chunk_;
  }

  void record(int64_t decode_rows, int64_t prefill_rows, double ms) {
    if (prefill_rows == 0) {
      decode_ms_ = decode_ms_ == 0 ? ms : decode_ms_ + kWeight * (ms - decode_ms_);
      return;
    }
    decode_ms_ = std::min(decode_ms_, ms);  // measured on a busier machine
    const double added = std::max(decode_rows > 0 ? ms - decode_ms_ : ms, kLeastMs);
    const double fits = static_cast<double>(prefill_rows) * max_step_ms_ / added;
    const bool whole = decode_rows == 0 || static_cast<double>(prefill_rows) >= kFull * rows_;
    // A few rows ride along with the reading of the weights and say little about many: growth is by doubling.
    // A step of a prompt alone pays for that reading: what it says is a lower bound, taken while there is no
    // better.
    if (decode_rows == 0 && measured_) return;
    if (fits < rows_ || whole) rows_ = std::clamp(fits, 1.0, decode_rows > 0 ? 2 * rows_ : double(chunk_));
    rows_ = std::min(rows_, double(chunk_));
    measured_ = measured_ || decode_rows > 0;
  }

 private:
  static constexpr double kWeight = 0.25, kLeastMs = 1e-3, kFull = 0.75, kFirstRows = 32;

  double max_step_ms_;
  int64_t chunk_;
  double rows_ = kFirstRows, decode_ms_ = 0;
  bool measured_ = false;
};

}  // namespace tessera
