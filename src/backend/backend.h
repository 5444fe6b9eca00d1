#pragma once
// Backend: every operation the model needs, cut at the seams where kernels fuse.
//
// ref is scalar and the oracle; cpu is threads and vectors. An operation is added only when model/ calls it.
// Activations are [rows, cols], row-major: float32, but what enters a product has activation_dtype().
// Operations enqueue and do not fail; device faults surface as Error(kDevice) at sync() or read(). A backend
// is used by one thread at a time.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/kv_layer.h"
#include "backend/step_plan.h"
#include "base/pack_file.h"
#include "base/quant.h"
#include "base/tensor.h"

namespace tessera {

/// A change of one logit before it is chosen from: z = (z > 0 ? z / repetition : z * repetition) - subtract.
struct LogitEdit {
  int32_t id = 0;
  float repetition = 1, subtract = 0;  // infinity: never chosen
};

struct Candidate {
  float logit = 0;
  int32_t id = 0;
};

struct HeadShape {
  int64_t q_heads = 0, kv_heads = 0, head_dim = 0;
  bool v_is_k = false;  // V is the K projection, before k_norm and rope; qkv rows then hold q and k only
  int64_t window = 0;   // positions visible including the row's own; 0: full layer
  float norm_eps = 1e-6F;
  bool own_kv = true;  // false: K and V are another model's; qkv rows hold q only and nothing is stored

  int64_t qkv_cols() const { return (q_heads + (own_kv ? kv_heads * (v_is_k ? 1 : 2) : 0)) * head_dim; }
};

/// cos and sin of turn * frequency, [rows, head_dim / 2] each; filled once a step for each kind of layer.
struct RopeTable {
  Tensor cos, sin;
};

constexpr int64_t align_up(int64_t value, int64_t align) {
  return (value + align - 1) / align * align;
}

/// Rows of one matrix in a file. `read(first, count, out)` writes rows [first, first + count) as float32.
/// `stored` is the narrowest format of base/dtype.h that holds the values exactly. Both functions are called
/// from several threads.
struct WeightPart {
  int64_t rows = 0;
  DType stored = DType::kF32;
  std::function<void(int64_t first, int64_t count, float* out)> read = {};
  QuantLayout quant = {};  // bits 0: not quantised
  std::function<void(int64_t row, const QuantRow& out)> read_quant = {};
  std::function<void()> fetch = {};  // asks for the file's bytes ahead of reading them; may be empty
  int64_t heads = 0;                 // of equally many rows, which a cut leaves whole; 0: cut anywhere
};

/// How a weight may be shared out among the cards of a group.
enum class Cut : uint8_t {
  kWhole,    // every card has it
  kOutputs,  // each part by rows
  kInputs,   // by columns: products are shares of a sum, read by residual_norm only
};

/// Where a weight comes from: matrices of the same input width, one under the other, each padded with zero
/// rows to a multiple of `row_align`.
struct WeightSource {
  int64_t cols = 0, row_align = 1;
  std::vector<WeightPart> parts = {};
  bool keep = true;  // in the PackFile, where there is one
  int layer = -1;    // of the model; -1: embedding, head, media, drafter
  Cut cut = Cut::kWhole;
  int64_t heads = 0;  // of kInputs: as WeightPart::heads, of columns

  int64_t rows() const;
  void fetch() const;                                         // every part's
  void read(int64_t first, int64_t count, float* out) const;  // as WeightPart::read, over the whole
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// Copies a weight into the backend's own layout; lives as long as the backend.
  virtual Weight pack(const WeightSource& source) = 0;
  /// A norm weight, bias or table that is read element by element: kept as float32, row-major.
  virtual Weight pack_plain(const WeightSource& source) = 0;
  /// Zeroed activation memory, 64-byte aligned; on the host, untouched pages cost nothing. Freed when the
  /// handle dies. Only operations of this backend may touch it.
  virtual std::shared_ptr<void> allocate(int64_t bytes) = 0;
  /// For K or V of a layer with `heads` KV heads, all heads of a block side by side: read, write and copy
  /// take whole blocks.
  virtual std::shared_ptr<void> allocate_kv(int64_t bytes, int64_t heads, int layer) {
    (void)heads, (void)layer;
    return allocate(bytes);
  }
  /// All weights of a model are packed: what is kept for the next start is complete. Those of another (its
  /// drafter) may follow; they are not kept.
  virtual void weights_done() {}
  /// Steps will have at most `rows` rows: workspaces are taken now.
  virtual void reserve(int64_t rows) { (void)rows; }

  /// Number format of what enters a product: outputs of norms, attend and gated_linear; q.
  virtual DType activation_dtype() const { return DType::kF32; }
  /// To and from memory of allocate(). read() waits for what was enqueued before, and gives float32.
  virtual void write(void* to, const void* from, int64_t bytes);
  virtual void read(float* to, Tensor from);
  /// Same shape, same format.
  virtual void copy(Tensor to, Tensor from);
  /// One pass through the model: runs `body`, whose operations all get `plan`. Equal keys (but 0) promise
  /// that `body` makes the same calls with the same tensors, so that a recording may be replayed.
  virtual void step(const StepPlan& plan, uint64_t key, const std::function<void()>& body);
  /// The `count` best of logits ([1, vocab]) after `edits` (each id once), best first, of equal ones the
  /// lowest id first. The logits may be changed. Waits. count: 1 … vocab.
  virtual void candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count,
                          std::vector<Candidate>& out);

  // A step is at layer `layer`, or behind the last: where a backend changes sides it hands x and h over.
  virtual void seam(int layer, Tensor x, Tensor h) { (void)layer, (void)x, (void)h; }
  // y[r] = table[token[r]] * scale; soft-token rows become zero.
  virtual void embed(Tensor y, Weight table, const StepPlan& plan, float scale) = 0;
  // y[media_row[i]] = media[i]. Soft tokens are never scaled.
  virtual void place_media(Tensor y, const StepPlan& plan) = 0;
  // Angles in float32 as the reference computes them: float(turn) * frequency[i]. frequency: [1, head_dim /
  // 2].
  virtual void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) = 0;
  // y = x / sqrt(mean(x²) + eps) * w. No weight: scale-free.
  virtual void norm(Tensor y, Tensor x, Weight w, float eps) = 0;
  // y = layer_norm(x + shift) * w + bias, biased variance. No shift: none is added.
  virtual void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight bias, float eps) = 0;
  // y[r] += table[xy[2r]] of axis 0 + table[xy[2r + 1]] of axis 1; table: [positions, 2 * cols].
  virtual void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) = 0;
  // y = x Wᵀ.
  virtual void linear(Tensor y, Tensor x, Weight w) = 0;
  // y = gelu_tanh(x Wgᵀ) * (x Wuᵀ); w_gate_up is [2 * n, d], gate rows first; n is the ffn width
  // (y.cols) rounded up to 16, the rows beyond it are zero.
  virtual void gated_linear(Tensor y, Tensor x, Weight w_gate_up) = 0;
  // q: per-head norm and rope of qkv's q part. K (norm, rope) and V (scale-free norm) go to the plan's
  // positions in kv, if the layer has its own.
  virtual void rope_store(Tensor q, Tensor qkv, const HeadShape& shape, Weight q_norm, Weight k_norm,
                          RopeTable rope, const StepPlan& plan, const KvLayer& kv) = 0;
  // Attention with scale 1 over what each row may see (StepPlan).
  virtual void attend(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv,
                      const StepPlan& plan) = 0;
  // x = (x + norm(y) * w_post) * scale;  h = norm(x) * w_next.
  virtual void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                             float eps) = 0;
  // y[i] = x[logit_row[i]].
  virtual void take_rows(Tensor y, Tensor x, const StepPlan& plan) = 0;
  // y[i] = a[i], then b[logit_row[i]], as y's format: [logit rows, a.cols + b.cols]. a is float32, b float32
  // or an activation.
  virtual void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) = 0;
  // y = cap * tanh(x Wᵀ / cap). cap == 0: no cap.
  virtual void logits(Tensor y, Tensor x, Weight w, float cap) = 0;
  virtual void sync() = 0;

  /// Bytes of weights held.
  virtual int64_t weight_bytes() const = 0;
  /// "cpu avx512, 2 threads"
  virtual std::string describe() const = 0;
};

/// Bytes in which the cpu backend holds a quantised matrix of its own: about the file's, or as float32 where
/// its kernels do not compute on the form.
int64_t cpu_quant_bytes(const QuantLayout& layout, int64_t rows, int64_t cols);

/// Backend::candidates over logits in host memory.
void host_candidates(std::span<float> logits, std::span<const LogitEdit> edits, int64_t count,
                     std::vector<Candidate>& out);

/// How the cpu backend takes threads and memory from the system.
struct CpuResources {
  bool pin = false;          // a worker stays on its core
  bool lock_memory = false;  // weights stay in memory; Error(kTooLarge) where the system does not allow it
};

std::unique_ptr<Backend> make_ref_backend();
/// `threads` 0: one per core. `isa`: "", "portable", "avx2", "avxvnni", "avx512", "amx", "neon". Throws
/// Error(kBadRequest) for an isa that this CPU lacks. `packed`: where packed matrices are kept, found there
/// when it is filled(); may be null.
std::unique_ptr<Backend> make_cpu_backend(int threads, const std::string& isa,
                                          std::unique_ptr<PackFile> packed = nullptr,
                                          const CpuResources& resources = {});
/// Changes whenever a packed matrix would be laid out in another way: part of a PackFile's key.
inline constexpr uint64_t kCpuPackVersion = 2;

struct CudaOptions {
  int device = 0;        // as the driver counts
  bool exact = false;    // float32 activations and KV: several times slower, for comparing with a reference
  int shared_bytes = 0;  // of a block, at most: what kernels do on smaller cards; 0: the card's
  int gpus = 1;          // cards from `device` on that compute as one
};
struct CudaCard {
  std::string name;
  int64_t free_bytes = 0;
};
/// "" when a card can be used, else why not: "this build has no CUDA backend", "no NVIDIA driver …".
std::string why_no_cuda();
/// Throw Error(kDevice) when there is none.
CudaCard cuda_card(int device);
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);
struct CudaLimits {
  std::string name;                     // the card's
  double read_bytes = 0, bf16_ops = 0;  // a second, measured; a multiply and an add are two operations
};
CudaLimits measure_cuda(int device);

}  // namespace tessera
