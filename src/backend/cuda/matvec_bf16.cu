// Matrix-vector products with bfloat16 weights.
#include "backend/cuda/kernels.h"
#include "backend/cuda/matvec.cuh"

namespace tessera::cuda {

void matvec_bf16(const Device& device, int shared_limit, bool gated, const MatvecArgs& a) {
  gated ? launch_matvec<RowsBf16, true>(device, shared_limit, a)
        : launch_matvec<RowsBf16, false>(device, shared_limit, a);
}

}  // namespace tessera::cuda
