#pragma once
// The CPU's inner loops as a table of functions, one table per instruction set. All are written once, over a
// vector type (kernels.inc), and compiled in kernels_<isa>.cc with that file's target attributes.
#include <cstdint>
#include <string>

#include "backend/cpu/quant_panels.h"
#include "backend/kv_layer.h"
#include "base/dtype.h"

namespace tessera::cpu {

// tile[r][c] = sum over k of x[r][k] * w[c][k], for `panels` panels from `w`: c < panels * 16. One chain of
// fused multiply-adds over ascending k for each value.
struct GemmArgs {
  const float* x = nullptr;  // [rows, k], row stride k
  int64_t rows = 0, k = 0;
  const void* w = nullptr;  // first panel
  DType dtype = DType::kBF16;
  int64_t panels = 0;
  float* tile = nullptr;  // [rows, panels * 16]
  // x as split_row leaves it, for bfloat16 weights where the table has one: [ceil(k / 32)][rows][3][32],
  // three bfloat16 that add up to an input.
  const uint16_t* terms = nullptr;
};
inline constexpr int64_t kTermInputs = 32, kTermValues = 3 * kTermInputs;

// 256 inputs of one activation row as the byte products take them. Against codes of 6 and 8 bits each block
// of 32 inputs has a scale of its own; against shorter ones, whose own error is far larger, the 256 share
// one: one multiplication for every eight products less. Arrays of these are [chunks][rows]: a tile of rows
// is contiguous. Inputs beyond the row's end are 0.
struct alignas(64) ActChunk {
  int8_t codes[256];
  float scale[8];      // all the same when the chunk has one
  float sum[8];        // sum of the block's codes, times its own scale: what a weight's min is multiplied by
  int32_t offset[16];  // minus the weights' zero point times the sum of the codes: [block][half] when their
                       // group is 16, else a block's whole in its first half and 0 in the second
};

// tile[r][c] = sum over chunks, ascending, of the sum over their blocks b, ascending, of (codes of w · codes
// of x) * scale_w[b][c] * scale_x[r][b] (+ min * sum); the chunk's one scale is applied to its whole sum.
struct QuantGemmArgs {
  const ActChunk* x = nullptr;  // [ceil(k / 256)][rows]
  int64_t rows = 0;
  const PanelShape* shape = nullptr;
  const uint8_t* w = nullptr;  // first panel
  int64_t panels = 0;
  float* tile = nullptr;  // [rows, panels * 16]
};

// One tile of queries that share a KV head of one sequence, against one segment: positions [first, first +
// kSegment). Query m sees those of [lo[m], hi[m]) that are in it. What comes out is not yet divided by the
// sum.
struct AttendArgs {
  const KvLayer* kv = nullptr;
  int64_t sequence = 0, kv_head = 0, queries = 0, head_dim = 0;
  int64_t first = 0;                // a multiple of kSegment
  const float* const* q = nullptr;  // [queries] -> [head_dim]
  const int64_t* lo = nullptr;
  const int64_t* hi = nullptr;
  float* scores = nullptr;  // [queries][kSegment]
  float* opened = nullptr;  // [4][head_dim][16]: blocks of K or V as float32
  float* top = nullptr;     // out [queries]: largest score; -infinity when the query sees nothing here
  float* sum = nullptr;     // out [queries]: sum of exp(score - top)
  float* sums = nullptr;    // out [queries][head_dim]: sum of exp(score - top) * V
};

/// kIq4Values + 128.
inline constexpr uint8_t kIq4Bytes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                          129, 141, 153, 166, 181, 197, 217, 241};

struct Kernels {
  const char* name;
  void (*gemm)(const GemmArgs& args);
  // One row of k inputs into chunks `stride` apart. `layout`: of the weights that it will meet.
  void (*quantize_row)(ActChunk* out, int64_t stride, const float* x, int64_t k, const QuantLayout& layout);
  void (*quant_gemm)(const QuantGemmArgs& args);
  void (*attend)(const AttendArgs& args);
  void (*mix)(float* y, float a, const float* x, float b, int64_t n);  // y = y * a + x * b
  // y = x * (mean(x²) + eps)^-1/2 * w; w may be null; y may be x.
  void (*rms_norm)(float* y, const float* x, const float* w, int64_t n, float eps);
  // x = (x + rms_norm(y) * w) * scale
  void (*residual)(float* x, const float* y, const float* w, float scale, int64_t n, float eps);
  // y = layer_norm(x + shift) * w + bias; shift may be null; y may be x.
  void (*layer_norm)(float* y, const float* x, const float* shift, const float* w, const float* bias,
                     int64_t n, float eps);
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t n);
  void (*gelu_mul)(float* y, const float* gate, const float* up, int64_t n);  // y = gelu_tanh(gate) * up
  void (*softcap)(float* x, int64_t n, float cap);                            // x = cap * tanh(x / cap)
  // One row of k inputs into GemmArgs::terms, its groups of 32 inputs `stride` values apart; null where
  // products with bfloat16 weights take the floats.
  void (*split_row)(uint16_t* out, int64_t stride, const float* x, int64_t k) = nullptr;
};

const Kernels& portable_kernels();
const Kernels& avx2_kernels();
const Kernels& avxvnni_kernels();
const Kernels& avx512_kernels();
const Kernels& amx_kernels();
const Kernels& neon_kernels();

/// The best table for this CPU, or the one named. Throws Error(kBadRequest).
const Kernels& choose_kernels(const std::string& isa);

}  // namespace tessera::cpu
