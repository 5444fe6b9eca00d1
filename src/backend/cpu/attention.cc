#include "backend/cpu/attention.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/cpu/tiling.h"

namespace tessera::cpu {
namespace {

void store_q8(uint8_t* block, const float* x, int64_t head_dim, bool is_k, int64_t j) {
  const int64_t groups = (head_dim + kKvGroup - 1) / kKvGroup;
  auto* scales = reinterpret_cast<float*>(block + head_dim * kKvBlock);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t first = g * kKvGroup, last = std::min(head_dim, first + kKvGroup);
    float most = 0;
    for (int64_t d = first; d < last; ++d) most = std::max(most, std::fabs(x[d]));
    const float inverse = most > 0 ? 127.0F / most : 0.0F;
    scales[is_k ? g * kKvBlock + j : j * groups + g] = most / 127.0F;
    for (int64_t d = first; d < last; ++d)
      block[is_k ? d * kKvBlock + j : j * head_dim + d] =
          static_cast<uint8_t>(static_cast<int8_t>(std::lrintf(x[d] * inverse)));
  }
}

}  // namespace

void store_kv(KvType type, uint8_t* k_block, uint8_t* v_block, int64_t j, int64_t head_dim, const float* key,
              const float* value) {
  switch (type) {
    case KvType::kF32:
      for (int64_t d = 0; d < head_dim; ++d) reinterpret_cast<float*>(k_block)[d * kKvBlock + j] = key[d];
      std::copy_n(value, head_dim, reinterpret_cast<float*>(v_block) + j * head_dim);
      return;
    case KvType::kBF16:
      for (int64_t d = 0; d < head_dim; ++d) {
        reinterpret_cast<uint16_t*>(k_block)[d * kKvBlock + j] = f32_to_bf16(key[d]);
        reinterpret_cast<uint16_t*>(v_block)[j * head_dim + d] = f32_to_bf16(value[d]);
      }
      return;
    case KvType::kQ8:
      store_q8(k_block, key, head_dim, true, j);
      store_q8(v_block, value, head_dim, false, j);
  }
}

// Query heads that share a KV head, of neighbouring rows of one sequence.
struct Attention::Tile {
  int64_t sequence = 0, kv_head = 0, queries = 0;
  int64_t first_segment = INT64_MAX, last_segment = 0;  // both inclusive
  std::array<const float*, kMaxQueries> q{};
  std::array<float*, kMaxQueries> y{};
  std::array<int64_t, kMaxQueries> lo{}, hi{};

  int64_t segments() const { return last_segment - first_segment + 1; }
};

Attention::Partial Attention::partial_at(float* memory, const Tile& tile) {
  return {memory, memory + tile.queries, memory + 2 * tile.queries};
}

void Attention::attend(const Tile& t, int64_t segment, const HeadShape& shape, const KvLayer& kv, Partial out,
                       int worker) {
  std::vector<float>& buffer = buffers_[static_cast<size_t>(worker)];
  const auto scores = static_cast<size_t>(kMaxQueries * kSegment),
             opened = static_cast<size_t>(4 * 16 * shape.head_dim);
  if (buffer.size() < scores + opened) buffer.resize(scores + opened);
  kernels_.attend({.kv = &kv,
                   .sequence = t.sequence,
                   .kv_head = t.kv_head,
                   .queries = t.queries,
                   .head_dim = shape.head_dim,
                   .first = segment * kSegment,
                   .q = t.q.data(),
                   .lo = t.lo.data(),
                   .hi = t.hi.data(),
                   .scores = buffer.data(),
                   .opened = buffer.data() + scores,
                   .top = out.top,
                   .sum = out.sum,
                   .sums = out.sums});
}

// The same sums in the same order however the segments were spread over threads.
void Attention::merge(const Tile& t, int64_t head_dim, Partial into, Partial next) const {
  for (int64_t m = 0; m < t.queries; ++m) {
    if (next.top[m] == -INFINITY) continue;
    const float top = std::max(into.top[m], next.top[m]);
    const float a = std::exp(into.top[m] - top), b = std::exp(next.top[m] - top);
    kernels_.mix(into.sums + m * head_dim, a, next.sums + m * head_dim, b, head_dim);
    into.sum[m] = into.sum[m] * a + next.sum[m] * b;
    into.top[m] = top;
  }
}

void Attention::run(Tensor y, Tensor q, const HeadShape& s, const KvLayer& kv, const StepPlan& plan) {
  const int64_t group = s.q_heads / s.kv_heads, rows = plan.rows(), hd = s.head_dim;
  const int64_t heads = std::min(group, kMaxQueries), tile_rows = std::max<int64_t>(1, kMaxQueries / heads);
  std::vector<Tile> tiles;
  for (int64_t r = 0; r < rows;) {
    int64_t n = 1;
    while (n < tile_rows && r + n < rows && plan.sequence[r + n] == plan.sequence[r]) ++n;
    for (int64_t h = 0; h < s.kv_heads; ++h)
      for (int64_t g = 0; g < group; g += heads) {
        Tile& t = tiles.emplace_back();
        t.sequence = plan.sequence[r];
        t.kv_head = h;
        for (int64_t row = r; row < r + n; ++row)
          for (int64_t i = g; i < std::min(group, g + heads); ++i, ++t.queries) {
            const auto m = static_cast<size_t>(t.queries);
            t.q[m] = q.row(row) + (h * group + i) * hd;
            t.y[m] = y.row(row) + (h * group + i) * hd;
            t.lo[m] = s.window > 0 ? std::max<int64_t>(0, plan.position[row] - s.window + 1) : 0;
            t.hi[m] = (s.window > 0 ? plan.span_end[row] : plan.position[row]) + 1;
            t.first_segment = std::min(t.first_segment, t.lo[m] / kSegment);
            t.last_segment = std::max(t.last_segment, (t.hi[m] - 1) / kSegment);
          }
      }
    r += n;
  }
  const auto partial_size = [hd](const Tile& t) { return t.queries * (hd + 2); };
  const auto finish = [hd](const Tile& t, Partial p) {
    for (int64_t m = 0; m < t.queries; ++m)
      for (int64_t d = 0; d < hd; ++d) t.y[static_cast<size_t>(m)][d] = p.sums[m * hd + d] / p.sum[m];
  };

  // Few tiles: every segment is an item, so that one row of a long context keeps all threads busy; else every
  // tile is.
  const bool split = static_cast<int64_t>(tiles.size()) < int64_t{4} * pool_.threads();
  std::vector<int64_t> offset;  // of a tile's partials, in floats
  struct Item {
    size_t tile;
    int64_t segment;  // < 0: all
  };
  std::vector<Item> items;
  int64_t size = 0;
  for (size_t i = 0; i < tiles.size(); ++i) {
    offset.push_back(size);
    size += partial_size(tiles[i]) * (split ? tiles[i].segments() : 0);
    if (split)
      for (int64_t k = 0; k < tiles[i].segments(); ++k) items.push_back({i, k});
    else
      items.push_back({i, -1});
  }
  if (static_cast<int64_t>(partials_.size()) < size) partials_.resize(static_cast<size_t>(size));
  const auto partial = [&](size_t tile, int64_t k) {
    return partial_at(partials_.data() + offset[tile] + k * partial_size(tiles[tile]), tiles[tile]);
  };
  pool_.run(static_cast<int64_t>(items.size()), [&](int64_t index, int worker) {
    const Item& item = items[static_cast<size_t>(index)];
    const Tile& t = tiles[item.tile];
    if (item.segment >= 0)
      return attend(t, t.first_segment + item.segment, s, kv, partial(item.tile, item.segment), worker);
    thread_local std::vector<float> memory;
    memory.resize(static_cast<size_t>(2 * partial_size(t)));
    const Partial whole = partial_at(memory.data(), t), next = partial_at(memory.data() + partial_size(t), t);
    attend(t, t.first_segment, s, kv, whole, worker);
    for (int64_t k = 1; k < t.segments(); ++k) {
      attend(t, t.first_segment + k, s, kv, next, worker);
      merge(t, hd, whole, next);
    }
    finish(t, whole);
  });
  if (!split) return;
  for (size_t i = 0; i < tiles.size(); ++i) {
    for (int64_t k = 1; k < tiles[i].segments(); ++k) merge(tiles[i], hd, partial(i, 0), partial(i, k));
    finish(tiles[i], partial(i, 0));
  }
}

}  // namespace tessera::cpu
