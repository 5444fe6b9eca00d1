#pragma once
// The tracing decorator: which operations a step has, what each must move, and how long it takes.
#include <array>
#include <map>
#include <optional>

#include "backend/forwarding_backend.h"
#include "model/model.h"
#include "tessera/tessera.h"

namespace tessera {

/// Of a step over text, in the order of a step.
enum class OperationKind : uint8_t {
  kEmbed,
  kAngles,
  kNorm,
  kQkv,
  kRopeStore,
  kAttendSliding,
  kAttendFull,
  kO,
  kResidualNorm,
  kGateUp,
  kDown,
  kTakeRows,
  kLogits,
};
inline constexpr size_t kOperationKinds = 13;

class OperationTrace final : public ForwardingBackend {
 public:
  /// Both must outlive this. `inner` computes `model`, whole and alone.
  OperationTrace(Backend& inner, const Model& model) : ForwardingBackend(inner), model_(&model) {}

  /// Steps from now on have all of their operations, each counted, and timed by the clock around its call.
  void trace_all() { all_ = true; }
  /// Steps from now on have the operations of one kind only, or none: what they compute means nothing.
  /// Nothing is counted, and such steps are recorded as whole ones are.
  void keep_only(std::optional<OperationKind> kind) { all_ = false, only_ = kind; }
  /// Of the last step after trace_all(). The kind's name, too.
  OperationBenchRun::Kind traced(OperationKind kind) const;

  void step(const StepPlan& plan, uint64_t key, const std::function<void()>& body) override;
  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override;
  void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) override;
  void norm(Tensor y, Tensor x, Weight w, float eps) override;
  void linear(Tensor y, Tensor x, Weight w) override;
  void gated_linear(Tensor y, Tensor x, Weight w) override;
  void rope_store(Tensor q, Tensor qkv, const HeadShape& shape, Weight q_norm, Weight k_norm, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override;
  void attend(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv, const StepPlan& plan) override;
  void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                     float eps) override;
  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override;
  void logits(Tensor y, Tensor x, Weight w, float cap) override;

 private:
  using Moved = OperationBenchRun::Kind;
  // Adds `moved` to the kind, and the call's time; or leaves the call out.
  template <typename Call>
  void pass(OperationKind kind, const Moved& moved, const Call& call);
  OperationKind kind_of(Weight w) const;

  const Model* model_;
  bool all_ = true;
  std::optional<OperationKind> only_;
  std::array<Moved, kOperationKinds> traced_;
};

}  // namespace tessera
