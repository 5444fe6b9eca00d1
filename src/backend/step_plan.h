#pragma once
// What one pass through the model works on. Row r is one position of one sequence. Built by engine/prompt; a
// row's results do not depend on the other rows.
#include <cstdint>
#include <vector>

#include "base/tensor.h"

namespace tessera {

struct StepPlan {
  std::vector<int32_t> token;     // [rows] -1: a soft token, its embedding comes from `media`
  std::vector<int32_t> position;  // [rows] ascending within a sequence
  std::vector<int32_t> sequence;  // [rows] rows of one sequence are neighbours
  // [rows] last position visible on a sliding layer: the row's own, or the last of its vision block, whose K
  // and V are all written in this step. On a full layer a row always sees [0, position].
  std::vector<int32_t> span_end;
  // [rows] position that q and k are turned to; empty: `position`. A drafter's rows see the positions before
  // the token they are of (docs/spec/mtp.md §4).
  std::vector<int32_t> turn;

  Tensor media;                    // [media rows, hidden] f32, already projected; never scaled
  std::vector<int32_t> media_row;  // [media rows] row of the step that takes media row i
  std::vector<int32_t> logit_row;  // [logit rows] rows whose logits are wanted

  const std::vector<int32_t>& turns() const { return turn.empty() ? position : turn; }
  int64_t rows() const { return static_cast<int64_t>(token.size()); }
  int64_t logit_rows() const { return static_cast<int64_t>(logit_row.size()); }

  void clear() {
    for (auto* v : {&token, &position, &sequence, &span_end, &turn, &media_row, &logit_row}) v->clear();
    media = {};
  }
};

}  // namespace tessera
