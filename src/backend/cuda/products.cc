#include "backend/cuda/products.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/digits.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/pack.h"
#include "base/error.h"

namespace tessera::cuda {
namespace {

// Quantised weights are opened this much at a time for a product of many rows. Whole matrices but the head:
// slabs that stay in the second-level cache (30 MB) would be products too narrow to fill the card.
constexpr int64_t kSlabBytes = int64_t{256} << 20;

// Up to kIntegerRows rows of it are products in integers.
bool in_integers(const Segment& s) {
  return s.dtype == DType::kQuant;
}

bool has_matvec(const Segment& s) {
  return s.dtype == DType::kBF16 || in_integers(s);
}

// Gate and up in one format, so that one kernel can do both.
bool can_fuse_gate(const Matrix& m) {
  return m.segments.size() == 1 && has_matvec(m.segments[0]) && m.rows % (2 * kTileRows) == 0;
}

// A gated product writes the digits of y where each block can have all of 128 outputs and few multiprocessors
// stay idle for it.
constexpr int64_t kDigitUnits = kDigitCols / kTileRows;

bool fits_digits(int64_t outputs, int multiprocessors) {
  const int64_t blocks = outputs / kDigitCols;
  return outputs % kDigitCols == 0 && blocks <= multiprocessors && 5 * blocks >= 4 * multiprocessors;
}

struct Sizes {
  // digits: kMatvecRows rows of a producer; own_digits: kIntegerRows that products make
  int64_t library = 0, opened = 0, gate_up = 0, x = 0, digits = 0, own_digits = 0;

  int64_t all() const { return library + opened + gate_up + x + kProducers * digits + own_digits; }
  // In turn: a gated product reads the digits of one and writes the other's.
  static constexpr int64_t kProducers = 2;
};

}  // namespace

struct Products::State {
  Device& device;
  CublasLt cublas = {};
  int64_t weight_bytes = 0, max_rows = 0;
  std::unique_ptr<Uploader> uploader = {};
  std::vector<std::unique_ptr<Matrix>> matrices = {};
  std::shared_ptr<void> memory = {};
  Sizes sizes = {};
  uint8_t *library = nullptr, *opened = nullptr, *gate_up = nullptr, *x = nullptr, *digits = nullptr;
  std::vector<int64_t> digit_strides = {};  // of matrices with integer products
  bool digit_sums = false;                  // one of them has mins
  Tensor made[Sizes::kProducers] = {};      // whose digits the producers' buffers hold; no data: nobody's
  int64_t last = 0;                         // of them, written or read

  Sizes sizes_for(int64_t rows) const;
  const void* bf16_rows(Tensor x_rows, int64_t stride);
  const void* digit_rows(Tensor x_rows, int64_t stride);
  DigitsOut digits_for(Tensor x_rows);
  void forget(const void* rows) {
    for (Tensor& t : made)
      if (t.data == rows) t = {};
  }
  void matvec(const Matrix& m, const Segment& s, bool gated, MatvecArgs args);
  void integer_rows(const Matrix& m, const Segment& s, bool gated, const MatvecArgs& args);
  void multiply(const void* w, int64_t outputs, int64_t stride, const void* x_rows, int64_t rows, void* y,
                int64_t y_stride, bool y_f32);
  void many_rows(const Matrix& m, const Segment& s, const void* x_rows, int64_t rows, void* y,
                 int64_t y_stride, bool y_f32);
  void linear(Tensor y, Tensor x_rows, const Matrix& m, float cap);
};

Products::Products(Device& device) : state_(new State{.device = device}) {}

Products::~Products() = default;

Weight Products::pack(const WeightSource& source) {
  State& s = *state_;
  if (!s.uploader) s.uploader = std::make_unique<Uploader>(s.device);
  s.matrices.push_back(s.uploader->pack(source));
  const Matrix& m = *s.matrices.back();
  for (const Segment& segment : m.segments) {
    s.weight_bytes += m.segment_bytes(segment);
    if (!in_integers(segment)) continue;
    s.digit_strides.push_back(m.stride);
    s.digit_sums |= segment.form.has_min;
  }
  std::sort(s.digit_strides.begin(), s.digit_strides.end());
  s.digit_strides.erase(std::unique(s.digit_strides.begin(), s.digit_strides.end()), s.digit_strides.end());
  return {.data = &m, .rows = m.rows, .cols = m.cols, .dtype = m.segments.front().dtype};
}

void Products::weights_done() {
  state_->uploader.reset();
}

Sizes Products::State::sizes_for(int64_t rows) const {
  Sizes out;
  if (rows > kMatvecRows) out.library = CublasLt::kWorkspaceBytes;
  if (!digit_strides.empty()) {
    const int64_t most = digit_bytes(digit_strides.back());
    out.digits = align_up(std::min(rows, kMatvecRows) * most, 256);
    out.own_digits = align_up(std::min(rows, kIntegerRows) * most, 256);
  }
  for (const auto& m : matrices) {
    out.x = std::max(out.x, align_up(rows * m->stride * 2, 256));
    for (const Segment& s : m->segments)
      if ((in_integers(s) && rows > kIntegerRows) || (s.dtype == DType::kF16 && rows > kMatvecRows))
        out.opened = std::max(out.opened, std::min(s.tiles() * kTileRows * m->stride * 2, kSlabBytes));
    if (!m->two_parts) continue;
    const int64_t few = std::min(rows, kMatvecRows) * m->rows * 4;
    const int64_t many = rows <= kMatvecRows ? 0 : rows * m->rows * (can_fuse_gate(*m) ? 2 : 4);
    out.gate_up = std::max({out.gate_up, align_up(few, 256), align_up(many, 256)});
  }
  return out;
}

int64_t Products::workspace_bytes(int64_t max_rows) const {
  return state_->sizes_for(max_rows).all();
}

void Products::reserve(int64_t max_rows) {
  State& s = *state_;
  s.device.synchronize();
  s.memory.reset();
  forget();
  s.max_rows = 0;  // should there be no memory for it
  s.sizes = s.sizes_for(max_rows);
  // Zeroed: compute-sanitizer's initcheck does not see what cuBLASLt writes (the gate and up values of many
  // rows).
  s.memory = s.device.allocate(std::max<int64_t>(s.sizes.all(), 256), true);
  s.max_rows = max_rows;
  s.library = static_cast<uint8_t*>(s.memory.get());
  s.opened = s.library + s.sizes.library;
  s.gate_up = s.opened + s.sizes.opened;
  s.x = s.gate_up + s.sizes.gate_up;
  s.digits = s.x + s.sizes.x;
}

// x as the kernels read it: bfloat16, padded, at a multiple of 16 bytes.
const void* Products::State::bf16_rows(Tensor x_rows, int64_t stride) {
  if (x_rows.dtype == DType::kBF16 && x_rows.cols == stride &&
      reinterpret_cast<uintptr_t>(x_rows.data) % 16 == 0)
    return x_rows.data;
  TS_CHECK(x_rows.rows * stride * 2 <= sizes.x, "{} rows, reserved for {}", x_rows.rows, max_rows);
  pad_rows(device, x_rows, stride, x);
  return x;
}

// Of up to kIntegerRows rows.
const void* Products::State::digit_rows(Tensor x_rows, int64_t stride) {
  for (int64_t i = 0; i < Sizes::kProducers; ++i) {
    const Tensor& t = made[i];
    if (x_rows.data != t.data || x_rows.rows > t.rows || x_rows.cols != t.cols || x_rows.dtype != t.dtype)
      continue;
    last = i;
    return digits + i * sizes.digits;
  }
  TS_CHECK(x_rows.rows * digit_bytes(stride) <= sizes.own_digits, "{} rows, reserved for {}", x_rows.rows,
           max_rows);
  uint8_t* own = digits + Sizes::kProducers * sizes.digits;
  quantise_rows(device, x_rows, stride, {own, digit_sums});
  return own;
}

DigitsOut Products::State::digits_for(Tensor x_rows) {
  forget(x_rows.data);
  if (x_rows.rows > std::min(max_rows, kMatvecRows) ||
      !std::binary_search(digit_strides.begin(), digit_strides.end(), x_rows.cols) ||
      x_rows.rows * digit_bytes(x_rows.cols) > sizes.digits)  // packed after reserve()
    return {};
  last = 1 - last;
  made[last] = x_rows;
  return {digits + last * sizes.digits, digit_sums};
}

DigitsOut Products::digits_for(Tensor x) {
  return state_->digits_for(x);
}

void Products::forget() {
  for (Tensor& t : state_->made) t = {};
}

void Products::State::matvec(const Matrix& m, const Segment& s, bool gated, MatvecArgs args) {
  args.weights = s.data;
  args.stride = m.stride;
  args.tiles = static_cast<int>(s.tiles());
  args.units = args.up_tiles = args.tiles / 2;  // gated
  args.tile_bytes =
      s.dtype == DType::kBF16 ? kTileRows * m.stride * 2 : m.stride / kChunkCols * s.form.chunk_bytes();
  if (s.dtype == DType::kBF16) return matvec_bf16(device, device.shared_limit(), gated, args);
  const bool known = matvec_int_q4(device, device.shared_limit(), s.form, gated, args) ||
                     matvec_int_q8(device, device.shared_limit(), s.form, gated, args) ||
                     matvec_int_q56(device, device.shared_limit(), s.form, gated, args);
  TS_CHECK(known, "no kernel for {} bits in groups of {}", s.form.bits, s.form.group);
}

// The same of up to kIntegerRows rows; y_digits for one eight only.
void Products::State::integer_rows(const Matrix& m, const Segment& s, bool gated, const MatvecArgs& args) {
  for (int first = 0; first < args.rows; first += static_cast<int>(kMatvecRows)) {
    MatvecArgs some = args;
    some.rows = std::min(static_cast<int>(kMatvecRows), args.rows - first);
    some.x = static_cast<const uint8_t*>(args.x) + first * digit_bytes(m.stride);
    some.y = static_cast<uint8_t*>(args.y) + first * args.y_stride * (args.y_f32 ? 4 : 2);
    matvec(m, s, gated, some);
  }
}

void Products::State::multiply(const void* w, int64_t outputs, int64_t stride, const void* x_rows,
                               int64_t rows, void* y, int64_t y_stride, bool y_f32) {
  if (!cublas.multiply(device.stream(), w, outputs, stride, x_rows, rows, y, y_stride, y_f32, library))
    plain_matmul(device, w, outputs, stride, x_rows, rows, y, y_stride, y_f32);
}

// y: column 0 is the segment's first output.
void Products::State::many_rows(const Matrix& m, const Segment& s, const void* x_rows, int64_t rows, void* y,
                                int64_t y_stride, bool y_f32) {
  if (s.dtype == DType::kBF16) return multiply(s.data, s.rows, m.stride, x_rows, rows, y, y_stride, y_f32);
  const int64_t tile_bytes = kTileRows * m.stride * 2,
                slabs = (s.tiles() * tile_bytes + kSlabBytes - 1) / kSlabBytes;
  const int64_t tiles = std::min(align_up((s.tiles() + slabs - 1) / slabs, 16), sizes.opened / tile_bytes);
  TS_CHECK(tiles > 0, "reserve() came before the weights");
  for (int64_t first = 0; first < s.tiles(); first += tiles) {
    const int64_t count = std::min(tiles, s.tiles() - first),
                  outputs = std::min(count * kTileRows, s.rows - first * kTileRows);
    if (s.dtype == DType::kF16)
      pad_rows(device,
               {.data = s.data + first * tile_bytes,
                .rows = count * kTileRows,
                .cols = m.stride,
                .dtype = DType::kF16},
               m.stride, opened);
    else
      unpack_tiles(device, s, m.stride, first, count, opened);
    multiply(opened, outputs, m.stride, x_rows, rows,
             static_cast<uint8_t*>(y) + first * kTileRows * (y_f32 ? 4 : 2), y_stride, y_f32);
  }
}

void Products::State::linear(Tensor y, Tensor x_rows, const Matrix& m, float cap) {
  TS_CHECK(y.dtype == DType::kF32 && y.cols == m.rows && x_rows.cols == m.cols && y.rows == x_rows.rows,
           "y [{}, {}] of x [{}, {}] and a weight [{}, {}]", y.rows, y.cols, x_rows.rows, x_rows.cols, m.rows,
           m.cols);
  if (x_rows.rows == 0) return;
  TS_CHECK(x_rows.rows <= max_rows, "{} rows, reserved for {}", x_rows.rows, max_rows);
  const bool few = x_rows.rows <= kMatvecRows;
  forget(y.data);
  const auto exact = [&](const Segment& s) {
    return s.dtype == DType::kF32 ||
           (few && (s.dtype == DType::kF16 || (s.dtype == DType::kBF16 && x_rows.dtype == DType::kF32)));
  };
  const auto integers = [&](const Segment& s) { return x_rows.rows <= kIntegerRows && in_integers(s); };
  const auto rounded = [&](const Segment& s) { return !exact(s) && !integers(s); };
  // By kernels that cap what they store, unless others have parts of y.
  const auto streamed = [&](const Segment& s) { return integers(s) || (few && !exact(s)); };
  const auto any = [&](const auto& which) {
    return std::any_of(m.segments.begin(), m.segments.end(), which);
  };
  const bool capped = std::all_of(m.segments.begin(), m.segments.end(), streamed);
  const void* xb = any(rounded) ? bf16_rows(x_rows, m.stride) : nullptr;
  const void* xd = any(integers) ? digit_rows(x_rows, m.stride) : nullptr;
  for (const Segment& s : m.segments) {
    float* to = y.f32() + s.first_row;
    MatvecArgs args{.rows = static_cast<int>(x_rows.rows),
                    .y = to,
                    .y_stride = y.cols,
                    .outputs = s.rows,
                    .cap = capped ? cap : 0,
                    .y_f32 = true};
    if (exact(s)) {
      plain_linear(device, s, m.stride, x_rows, to, y.cols);
    } else if (integers(s)) {
      args.x = xd;
      integer_rows(m, s, false, args);
    } else if (few) {
      args.x = xb;
      matvec(m, s, false, args);
    } else {
      many_rows(m, s, xb, x_rows.rows, to, y.cols, true);
    }
  }
  if (cap > 0 && !capped) soft_cap(device, y, cap);
}

void Products::linear(Tensor y, Tensor x, Weight w) {
  state_->linear(y, x, *static_cast<const Matrix*>(w.data), 0);
}

void Products::logits(Tensor y, Tensor x, Weight w, float cap) {
  state_->linear(y, x, *static_cast<const Matrix*>(w.data), cap);
}

void Products::gated_linear(Tensor y, Tensor x, Weight w_gate_up) {
  State& s = *state_;
  const Matrix& m = *static_cast<const Matrix*>(w_gate_up.data);
  const int64_t n = m.rows / 2;
  TS_CHECK(m.two_parts && y.cols <= n && x.cols == m.cols && y.rows == x.rows,
           "y [{}, {}] of x [{}, {}] and a gate and up weight [{}, {}]", y.rows, y.cols, x.rows, x.cols,
           m.rows, m.cols);
  if (x.rows == 0) return;
  TS_CHECK(x.rows <= s.max_rows, "{} rows, reserved for {}", x.rows, s.max_rows);
  const bool few = x.rows <= kMatvecRows, fused = can_fuse_gate(m);
  MatvecArgs args{.rows = static_cast<int>(x.rows),
                  .y = y.data,
                  .y_stride = y.cols,
                  .outputs = y.cols,
                  .y_f32 = y.dtype == DType::kF32};
  if (fused && x.rows <= kIntegerRows && in_integers(m.segments[0])) {
    args.x = s.digit_rows(x, m.stride);
    s.forget(y.data);
    // Grouped with digits and without: which warps share a unit, and with it the bits, must not depend on
    // the number of rows.
    if (y.cols == n && fits_digits(n, s.device.multiprocessors())) {
      args.unit_group = kDigitUnits;
      args.y_digits = s.digits_for(y);
    }
    return s.integer_rows(m, m.segments[0], true, args);
  }
  if (fused && few && x.dtype == DType::kBF16) {
    args.x = s.bf16_rows(x, m.stride);
    s.forget(y.data);
    return s.matvec(m, m.segments[0], true, args);
  }
  s.forget(y.data);
  Tensor gate_up{.data = s.gate_up, .rows = x.rows, .cols = m.rows, .dtype = DType::kF32};
  if (few || !fused) {
    s.linear(gate_up, x, m, 0);
  } else {
    // Rounded to bfloat16 once more, as the reference does; as float32 it would cost 12 % of the product's
    // time.
    gate_up.dtype = DType::kBF16;
    s.many_rows(m, m.segments[0], s.bf16_rows(x, m.stride), x.rows, s.gate_up, m.rows, false);
  }
  gate(s.device, y, gate_up);
}

void Products::embed(Tensor y, Weight table, const int32_t* token, int64_t rows, float scale) {
  const Matrix& m = *static_cast<const Matrix*>(table.data);
  if (rows == 0) return;
  for (const Segment& s : m.segments) embed_rows(state_->device, s, m.stride, y, token, rows, scale);
}

int64_t Products::weight_bytes() const {
  return state_->weight_bytes;
}

std::string Products::describe() const {
  return state_->cublas.describe();
}

}  // namespace tessera::cuda
