#include "backend/cuda/plan_buffers.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace tessera::cuda {
namespace {

constexpr int64_t kArrays = 8, kFewestRows = 8, kEntry = sizeof(int32_t);

// Of each row's sequence in this step.
std::vector<int32_t> first_positions(const StepPlan& plan) {
  std::map<int32_t, int32_t> first;
  for (size_t i = 0; i < plan.position.size(); ++i) {
    const auto [at, is_new] = first.try_emplace(plan.sequence[i], plan.position[i]);
    if (!is_new) at->second = std::min(at->second, plan.position[i]);
  }
  std::vector<int32_t> out;
  for (const int32_t sequence : plan.sequence) out.push_back(first[sequence]);
  return out;
}

}  // namespace

std::vector<RowRange> attention_ranges(std::span<const int32_t> sequence) {
  constexpr int64_t kFew = 8;
  const auto rows = static_cast<int64_t>(sequence.size());
  std::vector<RowRange> out;
  for (int64_t first = 0, end = 0; first < rows; first = end) {
    while (end < rows && sequence[static_cast<size_t>(end)] == sequence[static_cast<size_t>(first)]) ++end;
    const bool many = end - first > kFew;
    if (!out.empty() && out.back().many == many && (many || out.back().rows + end - first <= kFew))
      out.back().rows += end - first;
    else
      out.push_back({first, end - first, many});
  }
  return out;
}

PlanView PlanBuffers::stage(const StepPlan& plan) {
  const int64_t rows = plan.rows();
  TS_CHECK(plan.logit_rows() <= rows && static_cast<int64_t>(plan.media_row.size()) <= rows,
           "{} rows, {} logit rows, {} media rows", rows, plan.logit_rows(), plan.media_row.size());
  if (rows > capacity_) {
    const int64_t room = std::max({rows, kFewestRows, 2 * capacity_});
    capacity_ = 0;  // should there be no memory for it
    host_ = device_->allocate_pinned(kArrays * room * kEntry);
    card_ = device_->allocate(kArrays * room * kEntry);
    capacity_ = room;
  }
  PlanView view;
  auto* to = static_cast<int32_t*>(host_.get());
  const auto* on_card = static_cast<const int32_t*>(card_.get());
  const auto put = [&](const std::vector<int32_t>& from) {
    std::copy(from.begin(), from.end(), to);
    to += capacity_;
    on_card += capacity_;
    return on_card - capacity_;
  };
  view.token = put(plan.token);
  view.position = put(plan.position);
  view.sequence = put(plan.sequence);
  view.span_end = put(plan.span_end);
  view.turn = put(plan.turns());
  view.fresh = put(first_positions(plan));
  view.media_row = put(plan.media_row);
  view.logit_row = put(plan.logit_row);
  view.rows = rows;
  view.media_rows = static_cast<int64_t>(plan.media_row.size());
  view.logit_rows = plan.logit_rows();
  return view;
}

void PlanBuffers::upload() {
  check(cudaMemcpyAsync(card_.get(), host_.get(), static_cast<size_t>(kArrays * capacity_ * kEntry),
                        cudaMemcpyHostToDevice, device_->stream()),
        "copying a step's plan");
}

}  // namespace tessera::cuda
