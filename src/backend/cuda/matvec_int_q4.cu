// Integer products of codes of 4 bits.
#include "backend/cuda/kernels.h"
#include "backend/cuda/matvec_int.cuh"

namespace tessera::cuda {

bool matvec_int_q4(const Device& device, int shared_limit, const Form& form, bool gated,
                   const MatvecArgs& a) {
  using enum QuantLayout::Scale;
#define X(...) || launch_int_if<__VA_ARGS__>(device, shared_limit, form, gated, a)
  return false TESSERA_CUDA_FORMS_4(X);
#undef X
}

}  // namespace tessera::cuda
