#pragma once
// Launchers of the kernels that are not products. All enqueue on the device's stream, allocate nothing and
// can be captured in a graph; pointers are device memory.
#include <cuda_bf16.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/matrix.h"

namespace tessera::cuda {

/// Of our own bugs only, as TS_CHECK, which nvcc does not compile: throws std::logic_error.
void require(bool ok, const char* what);

/// A StepPlan on the card; the counts are the host's. A kernel may read it before depend_wait() (launch.h),
/// as its copy is complete before the step's first kernel starts, and with it all steps before.
struct PlanView {
  const int32_t* token = nullptr;
  const int32_t* position = nullptr;
  const int32_t* sequence = nullptr;
  const int32_t* span_end = nullptr;
  const int32_t* turn = nullptr;
  const int32_t* fresh = nullptr;  // first position of the row's sequence in this step
  const int32_t* media_row = nullptr;
  const int32_t* logit_row = nullptr;
  int64_t rows = 0, media_rows = 0, logit_rows = 0;
};

// rows.cu. Row widths: up to 4,096, or 16,384 and divisible by 4. `digits`: of what is stored (digits.h);
// rows with them are multiples of 256 wide.
inline constexpr int64_t kMaxCols = 16384;
void norm(const Device& device, Tensor y, Tensor x, const float* w, float eps, DigitsOut digits);
void layer_norm(const Device& device, Tensor y, Tensor x, const float* shift, const float* w,
                const float* bias, float eps);
void residual_norm(const Device& device, Tensor x, Tensor y, const float* w_post, float scale, Tensor h,
                   const float* w_next, float eps, DigitsOut digits);
void add_positions(const Device& device, Tensor y, const float* table, const int32_t* xy);
/// y[to[i]] = x[from[i]] for i below `count`; null: i itself. Same format and width.
void move_rows(const Device& device, Tensor y, const int32_t* to, Tensor x, const int32_t* from,
               int64_t count);
/// y[i] = a[i], then b[from[i]]: a is float32, b and y float32 or bfloat16.
void join(const Device& device, Tensor y, Tensor a, Tensor b, const int32_t* from, int64_t count);
/// Floats from float32 or bfloat16.
void widen(const Device& device, float* to, Tensor from);

// rope.cu
void rope_angles(const Device& device, RopeTable out, Weight frequency, const PlanView& plan);
void rope_store(const Device& device, Tensor q, Tensor qkv, const HeadShape& shape, const float* q_norm,
                const float* k_norm, RopeTable rope, const PlanView& plan, const KvLayer& kv);

// Attention. y and q have the format of the cache: float32 or bfloat16.
/// Rows that one of the two kernels below takes.
struct RowRange {
  int64_t first = 0, rows = 0;
  bool many = false;
};
/// Of a step with more rows than decode's. A block of attend_many takes rows that see the same keys, one
/// sequence after the other: 32 rows of 32 conversations waited for each other for 80 ms a step. So up to 8
/// rows of one sequence go by eights to attend_few.
std::vector<RowRange> attention_ranges(std::span<const int32_t> sequence);
/// Any head size up to 512: one block a row and head.
void attend_any(const Device& device, Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv,
                const PlanView& plan);

/// Partial results of decode attention: bytes() for 8 rows of `shape`, zeroed once.
struct AttentionSplits {
  void* memory = nullptr;
  static int64_t bytes(const Device& device, const HeadShape& shape);
};
/// Whether attend_few() and attend_many() take the shape: bfloat16, heads of 256 or 512, and 1, 2, 4, 8 or 16
/// query heads for a KV head.
bool has_tensor_attention(const HeadShape& shape, KvType type);
/// With this much shared memory for a block (Hopper has it) tiles are larger.
inline constexpr int kLargeShared = 220 * 1024;
/// Up to 8 rows: keys are split over the card. Lengths are read from the plan on the card, so that a recorded
/// launch serves every length; a row's bits depend on its own position only. `digits`: of y (digits.h).
void attend_few(const Device& device, Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv,
                const PlanView& plan, const AttentionSplits& splits, int shared_limit, DigitsOut digits);
void attend_many(const Device& device, Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv,
                 const PlanView& plan, int shared_limit);

// candidates.cu
inline constexpr int64_t kMaxCandidates = 256;
/// Candidates of one row of logits. `work`: candidate_bytes(vocab) of memory; the first `count` entries of
/// `out` are the best, best first. Changes the logits.
void edit_logits(const Device& device, float* logits, const LogitEdit* edits, int64_t count);
int64_t candidate_bytes(int64_t vocab);
void best_candidates(const Device& device, const float* logits, int64_t vocab, int64_t count, void* work,
                     Candidate* out);

// limits.cu
/// Bytes a second of a streaming read, best of several passes over `bytes`; waits.
double read_rate(Device& device, int64_t bytes);

}  // namespace tessera::cuda
