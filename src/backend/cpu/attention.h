#pragma once
// Attention of a step: cut into tiles of queries and segments of keys for the thread pool.
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"

namespace tessera::cpu {

/// One position's K (after norm and rope) and V of one head into place `j` of its block.
void store_kv(KvType type, uint8_t* k_block, uint8_t* v_block, int64_t j, int64_t head_dim, const float* key,
              const float* value);

class Attention {
 public:
  Attention(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), buffers_(static_cast<size_t>(pool.threads())) {}

  /// y = softmax(q K) V, scale 1, over what each row sees (StepPlan). y, q: [rows, q_heads * head_dim].
  void run(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv, const StepPlan& plan);

 private:
  struct Tile;
  // Results of a tile against one segment or the segments so far: top [queries], sum [queries], sums
  // [queries][head_dim].
  struct Partial {
    float *top, *sum, *sums;
  };
  static Partial partial_at(float* memory, const Tile& tile);
  void attend(const Tile& tile, int64_t segment, const HeadShape& shape, const KvLayer& kv, Partial out,
              int worker);
  void merge(const Tile& tile, int64_t head_dim, Partial into, Partial next) const;

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<std::vector<float>> buffers_;  // one for each worker
  std::vector<float> partials_;              // of tiles that are cut by segments
};

}  // namespace tessera::cpu
