// Matrix-vector products with codes of 8 bits.
#include "backend/cuda/kernels.h"
#include "backend/cuda/matvec.cuh"

namespace tessera::cuda {

bool matvec_q8(const Device& device, int shared_limit, const Form& form, bool gated, const MatvecArgs& a) {
  using enum QuantLayout::Scale;
#define X(bits, group, scale, has_min)                        \
  if (form == Form{bits, group, scale, has_min}) {            \
    using C = Chunks<FormOf<bits, group, scale, has_min>>;    \
    gated ? launch_matvec<C, true>(device, shared_limit, a)   \
          : launch_matvec<C, false>(device, shared_limit, a); \
    return true;                                              \
  }
  TESSERA_CUDA_FORMS_8(X)
#undef X
  return false;
}

}  // namespace tessera::cuda
