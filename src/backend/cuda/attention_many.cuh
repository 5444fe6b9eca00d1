#pragma once
// What the kernels of prefill attention have in common.
#include "backend/cuda/device.h"
#include "backend/cuda/kv_view.cuh"

namespace tessera::cuda {

struct ManyArgs {
  const __nv_bfloat16* q;
  __nv_bfloat16* y;
  const int32_t* position;
  const int32_t* sequence;
  const int32_t* span_end;
  int rows, window, group;  // group: query heads of a KV head
};

/// Rows begin … end - 1 of a block, all of one sequence, and the last position that one of them sees.
struct Run {
  int begin, end, last;
};
/// The run that begins with row `begin`; the arrays lie in shared memory. By a whole warp: one lane alone
/// would take a microsecond for 64 rows.
__device__ __forceinline__ Run run_from(int begin, int count, int window, const int* positions,
                                        const int* sequences, const int* span_ends) {
  Run run = {begin, begin, 0};
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int same = 32; same == 32 && run.end < count; run.end += same) {
    const int i = run.end + lane;
    const unsigned other = ~__ballot_sync(~0U, i < count && sequences[i] == sequences[begin]);
    same = other == 0 ? 32 : __ffs(static_cast<int>(other)) - 1;
    run.last = max(
        run.last, __reduce_max_sync(~0U, lane < same ? last_visible(window, positions[i], span_ends[i]) : 0));
  }
  return run;
}

/// attention_wgmma.cu: launches where the card and this build have warpgroup products; heads of 256 and 512.
bool attend_wgmma(const Device& device, const ManyArgs& args, const KvView<__nv_bfloat16>& kv);

}  // namespace tessera::cuda
