// What a backend whose memory is the host's need not say again.
#include "backend/backend.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace tessera {
namespace {

// Calls found(i) for each i from `first` on, ascending, with logits[i] > threshold, which found may raise.
// Few are: blocks without one are a comparison without branches.
template <typename Found>
void scan_above(std::span<const float> logits, size_t first, float& threshold, const Found& found) {
  constexpr size_t kBlock = 64;
  for (size_t begin = first; begin < logits.size(); begin += kBlock) {
    const size_t end = std::min(logits.size(), begin + kBlock);
    int above = 0;
    for (size_t i = begin; i < end; ++i) above |= static_cast<int>(logits[i] > threshold);
    if (above == 0) continue;
    for (size_t i = begin; i < end; ++i)
      if (logits[i] > threshold) found(i);
  }
}

}  // namespace

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
  if (count == 1) {  // the first of equal ones
    size_t best = 0;
    float most = logits[0];
    scan_above(logits, 1, most, [&](size_t i) { most = logits[best = i]; });
    out.push_back({most, static_cast<int32_t>(best)});
    return;
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto wanted = static_cast<size_t>(count);
  const bool all = wanted >= logits.size();
  const auto take = [&](size_t i) { out.push_back({logits[i], static_cast<int32_t>(i)}); };
  const auto trim = [&] {
    if (out.size() <= wanted) return;
    std::nth_element(out.begin(), out.begin() + count - 1, out.end(), better);
    out.resize(wanted);
  };
  // Ids ascend, so that a later one must beat the last of the best so far: these are kept, and what beats
  // them, until there are four times as many.
  const size_t room = all ? logits.size() : std::min(logits.size(), std::max<size_t>(4 * wanted, 1024));
  for (size_t i = 0; i < room; ++i) take(i);
  if (!all) {
    trim();
    float threshold = out.back().logit;
    scan_above(logits, room, threshold, [&](size_t i) {
      take(i);
      if (out.size() < room) return;
      trim();
      threshold = out.back().logit;
    });
    trim();
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
