#pragma once
// Several backends that compute as one: each holds a share of the heads, of the feed-forward width and of the
// vocabulary (docs/DESIGN.md, Several cards). Generic, so that it can be tested without cards.
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace tessera {

/// Adds up what the ranks of a group computed in shares. The calls of a rank come from the rank's thread, in
/// the same order on all ranks; they enqueue as operations of the rank's backend do.
class RankSums {
 public:
  virtual ~RankSums() = default;
  /// y = y of rank 0 + y of rank 1 + …, on every rank, the same bits everywhere.
  virtual void add_up(int rank, Tensor y) = 0;
  /// add_up(), then the rank's residual_norm.
  virtual void add_up_residual_norm(int rank, Backend& backend, Tensor x, Tensor y, Weight w_post,
                                    float scale, Tensor h, Weight w_next, float eps) {
    add_up(rank, y);
    backend.residual_norm(x, y, w_post, scale, h, w_next, eps);
  }
  /// After waiting for a rank's work. Throws Error(kDevice) when a rank waited for another in vain.
  virtual void check() {}
  /// A step failed on some rank, and others may wait for its share: ends that. Throws nothing: when nothing
  /// more can be summed, check() says so.
  virtual void recover() {}
  virtual std::string describe() const = 0;
};

/// All ranks of one kind and number format. `sums` is destroyed before the ranks.
std::unique_ptr<Backend> make_group_backend(std::vector<std::unique_ptr<Backend>> ranks,
                                            std::unique_ptr<RankSums> sums);

/// [first, first + count) of `size` rows or columns: the share of `rank`. `heads` as in WeightPart. Throws
/// Error(kBadRequest) when `size` cannot be shared out so.
struct Share {
  int64_t first = 0, count = 0;
};
Share share_of(int64_t size, int64_t heads, int rank, int ranks);
/// Throws as share_of, before anything is loaded: `heads` and `kv_heads` of a layer.
void check_heads(int64_t q_heads, int64_t kv_heads, int ranks);
/// A rank's share of a weight; refers to `whole`.
WeightSource share_of(const WeightSource& whole, int rank, int ranks);

}  // namespace tessera
