// What a backend whose memory is the host's need not say again.
#include "backend/backend.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace tessera {

void Backend::write(void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

void Backend::read(float* to, Tensor from) {
  TS_CHECK(from.dtype == DType::kF32, "activations on the host are float32");
  std::copy_n(from.f32(), from.rows * from.cols, to);
}

void Backend::copy(Tensor to, Tensor from) {
  std::memcpy(to.data, from.data, static_cast<size_t>(from.rows * from.cols * dtype_bytes(from.dtype)));
}

void Backend::step(const StepPlan&, uint64_t, const std::function<void()>& body) {
  body();
}

void Backend::candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count,
                         std::vector<Candidate>& out) {
  host_candidates({logits.f32(), static_cast<size_t>(logits.cols)}, edits, count, out);
}

void host_candidates(std::span<float> logits, std::span<const LogitEdit> edits, int64_t count,
                     std::vector<Candidate>& out) {
  for (const LogitEdit& e : edits) {
    float& z = logits[static_cast<size_t>(e.id)];
    z = (z > 0 ? z / e.repetition : z * e.repetition) - e.subtract;
  }
  out.clear();
  if (count == 1) {
    const auto best = std::max_element(logits.begin(), logits.end());  // the first of equal ones
    out.push_back({*best, static_cast<int32_t>(best - logits.begin())});
    return;
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  for (size_t i = 0; i < logits.size(); ++i) out.push_back({logits[i], static_cast<int32_t>(i)});
  if (count < static_cast<int64_t>(out.size())) {
    std::nth_element(out.begin(), out.begin() + count - 1, out.end(), better);
    out.resize(static_cast<size_t>(count));
  }
  std::sort(out.begin(), out.end(), better);
}

#ifndef TESSERA_GPU
std::string why_no_cuda() {
  return "this build has no CUDA backend";
}

CudaCard cuda_card(int) {
  throw_error(ErrorKind::kDevice, "GPU: {}; use --backend cpu", why_no_cuda());
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions&) {
  throw_error(ErrorKind::kDevice, "GPU: {}; use --backend cpu", why_no_cuda());
}

CudaLimits measure_cuda(int) {
  return {};
}
#endif

}  // namespace tessera
