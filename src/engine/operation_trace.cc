#include "engine/operation_trace.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;
using Moved = OperationBenchRun::Kind;

constexpr std::array<const char*, kOperationKinds> kNames = {
    "embed",           "rope angles",     "norm",         "q, k, v",
    "rope, store K V", "attend, sliding", "attend, full", "attention out",
    "residual, norm",  "gate, up",        "down",         "last rows",
    "logits"};

size_t at(OperationKind kind) {
  return static_cast<size_t>(kind);
}

int64_t bytes_of(const Tensor& t) {
  return t.rows * t.cols * dtype_bytes(t.dtype);
}

// K and V of one position of one layer.
int64_t position_bytes(const KvLayer& kv) {
  return 2 * kv.kv_heads * kv_block_bytes(kv.type, kv.head_dim) / kKvBlock;
}

// Positions that the rows see, of each sequence once: kernels share a read among rows and heads.
int64_t seen_positions(const StepPlan& plan, int64_t window) {
  int64_t sum = 0;
  for (size_t r = 0; r < plan.token.size();) {
    int64_t first = plan.position[r], last = first;
    const int32_t sequence = plan.sequence[r];
    for (; r < plan.token.size() && plan.sequence[r] == sequence; ++r) {
      first = window > 0 ? std::min(first, std::max<int64_t>(0, plan.position[r] - window + 1)) : 0;
      last = std::max<int64_t>(last, window > 0 ? plan.span_end[r] : plan.position[r]);
    }
    sum += last - first + 1;
  }
  return sum;
}

// Two for each parameter and row.
double operations_of(const Tensor& x, const Weight& w) {
  return 2.0 * static_cast<double>(x.rows) * static_cast<double>(w.rows * w.cols);
}

}  // namespace

OperationBenchRun::Kind& OperationBenchRun::Kind::operator+=(const Kind& other) {
  calls += other.calls;
  weight_bytes += other.weight_bytes;
  kv_read_bytes += other.kv_read_bytes;
  kv_written_bytes += other.kv_written_bytes;
  read_bytes += other.read_bytes;
  written_bytes += other.written_bytes;
  operations += other.operations;
  seconds += other.seconds;
  return *this;
}

OperationBenchRun::Kind OperationTrace::traced(OperationKind kind) const {
  Moved out = traced_[at(kind)];
  out.name = kNames[at(kind)];
  return out;
}

// Steps of all operations have no key: a replay would not come by here. The others' keys are their own.
void OperationTrace::step(const StepPlan& plan, uint64_t key, const std::function<void()>& body) {
  traced_.fill({});
  uint64_t own = 0;
  if (!all_ && key != 0) {
    own = (key ^ (only_ ? at(*only_) + 1 : kOperationKinds + 1)) * 0x9E3779B97F4A7C15U;
    own += own == 0 ? 1 : 0;
  }
  inner_.step(plan, own, body);
}

template <typename Call>
void OperationTrace::pass(OperationKind kind, const Moved& moved, const Call& call) {
  if (!all_) {
    if (only_ == kind) call();
    return;
  }
  Moved& sum = traced_[at(kind)];
  sum += moved;
  ++sum.calls;
  const auto start = Clock::now();
  call();
  sum.seconds += std::chrono::duration<double>(Clock::now() - start).count();
}

OperationKind OperationTrace::kind_of(Weight w) const {
  for (const Layer& l : model_->layers) {
    if (w.data == l.w_qkv.data) return OperationKind::kQkv;
    if (w.data == l.w_o.data) return OperationKind::kO;
    if (w.data == l.w_down.data) return OperationKind::kDown;
  }
  TS_CHECK(false, "a product with a weight of [{}, {}] is of no layer", w.rows, w.cols);
}

void OperationTrace::embed(Tensor y, Weight table, const StepPlan& plan, float scale) {
  const auto rows = std::count_if(plan.token.begin(), plan.token.end(), [](int32_t id) { return id >= 0; });
  pass(OperationKind::kEmbed,
       {.weight_bytes = rows * (table.bytes / table.rows), .written_bytes = bytes_of(y)},
       [&] { inner_.embed(y, table, plan, scale); });
}

void OperationTrace::rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) {
  const int64_t written = 2 * plan.rows() * frequency.cols * 4;
  pass(OperationKind::kAngles, {.weight_bytes = frequency.bytes, .written_bytes = written},
       [&] { inner_.rope_angles(out, frequency, plan); });
}

void OperationTrace::norm(Tensor y, Tensor x, Weight w, float eps) {
  pass(OperationKind::kNorm,
       {.weight_bytes = w.bytes, .read_bytes = bytes_of(x), .written_bytes = bytes_of(y)},
       [&] { inner_.norm(y, x, w, eps); });
}

void OperationTrace::linear(Tensor y, Tensor x, Weight w) {
  pass(kind_of(w),
       {.weight_bytes = w.bytes,
        .read_bytes = bytes_of(x),
        .written_bytes = bytes_of(y),
        .operations = operations_of(x, w)},
       [&] { inner_.linear(y, x, w); });
}

void OperationTrace::gated_linear(Tensor y, Tensor x, Weight w) {
  pass(OperationKind::kGateUp,
       {.weight_bytes = w.bytes,
        .read_bytes = bytes_of(x),
        .written_bytes = bytes_of(y),
        .operations = operations_of(x, w)},
       [&] { inner_.gated_linear(y, x, w); });
}

void OperationTrace::rope_store(Tensor q, Tensor qkv, const HeadShape& shape, Weight q_norm, Weight k_norm,
                                RopeTable rope, const StepPlan& plan, const KvLayer& kv) {
  const int64_t angles = plan.rows() * shape.head_dim * 4;  // cos and sin of half the dimensions
  pass(OperationKind::kRopeStore,
       {.weight_bytes = q_norm.bytes + k_norm.bytes,
        .kv_written_bytes = shape.own_kv ? plan.rows() * position_bytes(kv) : 0,
        .read_bytes = bytes_of(qkv) + angles,
        .written_bytes = bytes_of(q)},
       [&] { inner_.rope_store(q, qkv, shape, q_norm, k_norm, rope, plan, kv); });
}

void OperationTrace::attend(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv,
                            const StepPlan& plan) {
  pass(shape.window > 0 ? OperationKind::kAttendSliding : OperationKind::kAttendFull,
       {.kv_read_bytes = seen_positions(plan, shape.window) * position_bytes(kv),
        .read_bytes = bytes_of(q),
        .written_bytes = bytes_of(y)},
       [&] { inner_.attend(y, q, shape, kv, plan); });
}

void OperationTrace::residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                                   float eps) {
  pass(OperationKind::kResidualNorm,
       {.weight_bytes = w_post.bytes + w_next.bytes,
        .read_bytes = bytes_of(x) + bytes_of(y),
        .written_bytes = bytes_of(x) + bytes_of(h)},
       [&] { inner_.residual_norm(x, y, w_post, scale, h, w_next, eps); });
}

void OperationTrace::take_rows(Tensor y, Tensor x, const StepPlan& plan) {
  pass(OperationKind::kTakeRows, {.read_bytes = bytes_of(y), .written_bytes = bytes_of(y)},
       [&] { inner_.take_rows(y, x, plan); });
}

void OperationTrace::logits(Tensor y, Tensor x, Weight w, float cap) {
  pass(OperationKind::kLogits,
       {.weight_bytes = w.bytes,
        .read_bytes = bytes_of(x),
        .written_bytes = bytes_of(y),
        .operations = operations_of(x, w)},
       [&] { inner_.logits(y, x, w, cap); });
}

}  // namespace tessera
