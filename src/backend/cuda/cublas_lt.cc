#include "backend/cuda/cublas_lt.h"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "backend/cuda/library.h"

namespace tessera::cuda {
namespace {

constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                  "/usr/local/cuda/lib64/libcublasLt.so.13",
                                  "/usr/local/cuda/lib64/libcublasLt.so.12"};

// The largest power of two up to 256 that divides an address.
uint32_t alignment(const void* p) {
  const auto at = reinterpret_cast<uintptr_t>(p) | 256U;
  return static_cast<uint32_t>(at & (~at + 1));
}

struct Shape {
  int64_t outputs, stride, rows, y_stride;
  bool y_f32;
  uint32_t w_align, x_align, y_align;

  auto operator<=>(const Shape&) const = default;
};

struct Plan {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algo{};
  bool found = false;
};

}  // namespace

struct CublasLt::State {
  Library library;
  cublasLtHandle_t handle = nullptr;
  std::map<Shape, Plan> plans;

  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;

  bool load() {
    return library.find(create, "cublasLtCreate") && library.find(destroy, "cublasLtDestroy") &&
           library.find(version, "cublasLtGetVersion") &&
           library.find(desc_create, "cublasLtMatmulDescCreate") &&
           library.find(desc_destroy, "cublasLtMatmulDescDestroy") &&
           library.find(desc_set, "cublasLtMatmulDescSetAttribute") &&
           library.find(layout_create, "cublasLtMatrixLayoutCreate") &&
           library.find(layout_destroy, "cublasLtMatrixLayoutDestroy") &&
           library.find(preference_create, "cublasLtMatmulPreferenceCreate") &&
           library.find(preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
           library.find(preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
           library.find(heuristic, "cublasLtMatmulAlgoGetHeuristic") &&
           library.find(matmul, "cublasLtMatmul");
  }

  // In cuBLAS's column-major words: yᵀ [outputs × rows] = (wᵀ)ᵀ [outputs × stride] · xᵀ [stride × rows].
  Plan plan(const Shape& s) const {
    Plan p;
    const auto rows = static_cast<uint64_t>(s.rows), n = static_cast<uint64_t>(s.outputs),
               k = static_cast<uint64_t>(s.stride);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    if (desc_create(&p.product, CUBLAS_COMPUTE_32F, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS) return p;
    desc_set(p.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
    layout_create(&p.w, CUDA_R_16BF, k, n, s.stride);
    layout_create(&p.x, CUDA_R_16BF, k, rows, s.stride);
    layout_create(&p.y, s.y_f32 ? CUDA_R_32F : CUDA_R_16BF, n, rows, s.y_stride);
    cublasLtMatmulPreference_t preference = nullptr;
    preference_create(&preference);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
      preference_set(preference, what, &value, sizeof(value));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<size_t>(kWorkspaceBytes));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s.w_align);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s.x_align);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s.y_align);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s.y_align);
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    const auto status = heuristic(handle, p.product, p.w, p.x, p.y, p.y, preference, 1, &result, &count);
    preference_destroy(preference);
    p.found = status == CUBLAS_STATUS_SUCCESS && count > 0;
    p.algo = result.algo;
    return p;
  }
};

CublasLt::CublasLt() {
  auto state = std::make_unique<State>();
  if (!state->library.open(kNames)) {
    words_ = fmt::format("no cuBLASLt ({} not found): long prompts are slower", kNames[0]);
    return;
  }
  if (!state->load() || state->create(&state->handle) != CUBLAS_STATUS_SUCCESS) {
    words_ = "cuBLASLt cannot be used: long prompts are slower";
    return;
  }
  const size_t v = state->version();  // 130002 or, before 12, 11xxxx
  words_ = fmt::format("cuBLASLt {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
  state_ = std::move(state);
}

CublasLt::~CublasLt() {
  if (!state_) return;
  for (auto& [shape, p] : state_->plans) {
    for (cublasLtMatrixLayout_t layout : {p.w, p.x, p.y})
      if (layout) state_->layout_destroy(layout);
    if (p.product) state_->desc_destroy(p.product);
  }
  state_->destroy(state_->handle);
}

bool CublasLt::multiply(cudaStream_t stream, const void* w, int64_t outputs, int64_t stride, const void* x,
                        int64_t rows, void* y, int64_t y_stride, bool y_f32, void* workspace) {
  if (!state_) return false;
  const int64_t y_bytes = y_stride * (y_f32 ? 4 : 2);
  const uint32_t y_align = std::min(alignment(y), alignment(reinterpret_cast<const void*>(y_bytes)));
  const Shape shape{outputs, stride, rows, y_stride, y_f32, alignment(w), alignment(x), y_align};
  if (y_align < 16 || shape.x_align < 16 || shape.w_align < 16) return false;
  auto found = state_->plans.find(shape);
  if (found == state_->plans.end()) found = state_->plans.emplace(shape, state_->plan(shape)).first;
  const Plan& p = found->second;
  if (!p.found) return false;
  const float one = 1, zero = 0;
  return state_->matmul(state_->handle, p.product, &one, w, p.w, x, p.x, &zero, y, p.y, y, p.y, &p.algo,
                        workspace, static_cast<size_t>(kWorkspaceBytes), stream) == CUBLAS_STATUS_SUCCESS;
}

}  // namespace tessera::cuda

#else  // built without its header

namespace tessera::cuda {

struct CublasLt::State {};
CublasLt::CublasLt() : words_("built without cuBLASLt: long prompts are slower") {}
CublasLt::~CublasLt() = default;
bool CublasLt::multiply(cudaStream_t, const void*, int64_t, int64_t, const void*, int64_t, void*, int64_t,
                        bool, void*) {
  return false;
}

}  // namespace tessera::cuda

#endif
