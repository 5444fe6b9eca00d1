#include "backend/cuda/pack.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/kernels.h"

namespace tessera::cuda {
namespace {

constexpr int64_t kBufferBytes = int64_t{32} << 20;
constexpr int64_t kRowsAtOnce = 16;  // of one task of the thread pool

StagedRows staged_rows(const QuantLayout& layout, int64_t cols) {
  using Scale = QuantLayout::Scale;
  const int64_t groups = align_up(cols, layout.group) / layout.group;
  const int64_t bytes = groups * (layout.scale == Scale::kSuper ? 1 : layout.scale == Scale::kF32 ? 4 : 2);
  const int64_t supers = layout.scale == Scale::kSuper ? align_up(cols, kSuperBlock) / kSuperBlock * 2 : 0;
  StagedRows s{};
  s.cols = cols;
  s.layout = layout;
  s.scales_at = align_up(cols, 16);
  s.mins_at = align_up(s.scales_at + bytes, 16);
  s.super_scales_at = align_up(s.mins_at + (layout.has_min ? bytes : 0), 16);
  s.super_mins_at = align_up(s.super_scales_at + supers, 16);
  s.row_bytes = align_up(s.super_mins_at + (layout.has_min ? supers : 0), 16);
  return s;
}

}  // namespace

struct Uploader::Run {
  int64_t first_row = 0, rows = 0;
  DType dtype = DType::kF32;
  QuantLayout layout;
  struct Piece {
    int64_t first_row, rows;
    const WeightPart* part;
  };
  std::vector<Piece> pieces;

  void read(int64_t row, const QuantRow& out) const {  // rows between the parts stay zero
    for (const Piece& p : pieces)
      if (row >= p.first_row && row < p.first_row + p.rows) p.part->read_quant(row - p.first_row, out);
  }
};

Form form_of(const QuantLayout& layout) {
  using enum QuantLayout::Scale;
  Form best = kAnyForm;
  const auto consider = [&](const Form& f) {
    const bool opened = layout.table && f.bits == 8;  // to the table's values
    if ((f.bits != layout.bits || layout.table) && !opened) return;
    if (f.scale != layout.scale || f.has_min != layout.has_min || layout.group % f.group != 0) return;
    if (f.bits == 8 && !f.has_min && !layout.table && layout.zero != 128) return;
    if (f.bits < 8 && !f.has_min && layout.zero != 1 << (f.bits - 1)) return;
    if (f.has_min && layout.zero != 0) return;
    if (best == kAnyForm || f.group > best.group) best = f;
  };
#define X(bits, group, scale, has_min) \
  if (Form{bits, group, scale, has_min} != kAnyForm) consider(Form{bits, group, scale, has_min});
  TESSERA_CUDA_FORMS(X)
#undef X
  return best;
}

Uploader::~Uploader() {
  for (cudaEvent_t event : copied_)
    if (event) {
      cudaEventSynchronize(event);
      cudaEventDestroy(event);
    }
  cudaStreamSynchronize(device_.stream());  // staging_ is read by the last kernel
}

void Uploader::reserve(int64_t bytes) {
  if (bytes <= bytes_) return;
  device_.synchronize();
  for (int i = 0; i < 2; ++i) {
    pinned_[i] = device_.allocate_pinned(bytes);
    if (!copied_[i]) check(cudaEventCreateWithFlags(&copied_[i], cudaEventDisableTiming), "cudaEventCreate");
  }
  staging_ = device_.allocate(bytes, false);
  bytes_ = bytes;
}

void Uploader::upload(const WeightSource& source, const Run& run, Segment& segment, int64_t stride) {
  const bool quant = run.dtype == DType::kQuant;
  StagedRows rows{};
  if (quant) rows = staged_rows(run.layout, source.cols);
  const int64_t row_bytes = quant ? rows.row_bytes : source.cols * 4;
  reserve(std::max(kBufferBytes, row_bytes * kTileRows));
  const int64_t batch = bytes_ / row_bytes / kTileRows * kTileRows;
  const int64_t all = segment.tiles() * kTileRows;
  int turn = 0;
  for (int64_t first = 0; first < all; first += batch, turn ^= 1) {
    const int64_t count = std::min(batch, all - first),
                  filled = std::clamp<int64_t>(run.rows - first, 0, count);
    auto* buffer = static_cast<uint8_t*>(pinned_[turn].get());
    check(cudaEventSynchronize(copied_[turn]), "a copy to the card");
    pool_.run((count + kRowsAtOnce - 1) / kRowsAtOnce, [&](int64_t item, int) {
      const int64_t from = item * kRowsAtOnce, to = std::min(from + kRowsAtOnce, filled);
      std::memset(buffer + from * row_bytes, 0,
                  static_cast<size_t>(std::min(kRowsAtOnce, count - from) * row_bytes));
      if (from >= to) return;
      if (!quant) {
        source.read(run.first_row + first + from, to - from,
                    reinterpret_cast<float*>(buffer + from * row_bytes));
        return;
      }
      for (int64_t r = from; r < to; ++r) {
        uint8_t* row = buffer + r * row_bytes;
        run.read(run.first_row + first + r,
                 {.codes = row,
                  .scales = row + rows.scales_at,
                  .mins = row + rows.mins_at,
                  .super_scales = reinterpret_cast<uint16_t*>(row + rows.super_scales_at),
                  .super_mins = reinterpret_cast<uint16_t*>(row + rows.super_mins_at)});
      }
    });
    check(cudaMemcpyAsync(staging_.get(), buffer, static_cast<size_t>(count * row_bytes),
                          cudaMemcpyHostToDevice, device_.stream()),
          "a copy to the card");
    check(cudaEventRecord(copied_[turn], device_.stream()), "cudaEventRecord");
    if (quant) {
      rows.rows = static_cast<const uint8_t*>(staging_.get());
      pack_tiles(device_, rows, count / kTileRows, segment.form, stride,
                 segment.data + first / kTileRows * (stride / kChunkCols) * segment.form.chunk_bytes());
    } else {
      pack_floats(device_, static_cast<const float*>(staging_.get()), count, source.cols, stride, run.dtype,
                  segment.data + first * stride * dtype_bytes(run.dtype));
    }
  }
}

std::unique_ptr<Matrix> Uploader::pack(const WeightSource& source) {
  auto m = std::make_unique<Matrix>();
  m->rows = source.rows();
  m->cols = source.cols;
  std::vector<Run> runs;
  int64_t begin = 0;
  for (const WeightPart& part : source.parts) {
    const DType dtype = part.quant.bits != 0 ? DType::kQuant : part.stored;
    if (runs.empty() || runs.back().dtype != dtype || runs.back().layout != part.quant)
      runs.push_back({.first_row = begin, .dtype = dtype, .layout = part.quant, .pieces = {}});
    runs.back().pieces.push_back({begin, part.rows, &part});
    const int64_t rows = align_up(part.rows, source.row_align);
    runs.back().rows += rows;
    begin += rows;
  }
  const auto& parts = source.parts;
  m->two_parts = parts.size() == 2 && source.row_align % kTileRows == 0 &&
                 align_up(parts[0].rows, source.row_align) == align_up(parts[1].rows, source.row_align);
  const bool quant =
      std::any_of(runs.begin(), runs.end(), [](const Run& r) { return r.dtype == DType::kQuant; });
  m->stride = align_up(m->cols, quant ? kChunkCols : kChunkCols / 2);
  int64_t bytes = 0;
  for (const Run& run : runs) {
    Segment s{.first_row = run.first_row, .rows = run.rows, .dtype = run.dtype, .form = {}};
    if (run.dtype == DType::kQuant) {
      s.form = form_of(run.layout);
      s.zero = s.form.bits < 8 ? run.layout.zero : 0;
    }
    m->segments.push_back(s);
    bytes += align_up(m->segment_bytes(s), 256);
  }
  m->memory = device_.allocate(bytes, false);
  auto* to = static_cast<uint8_t*>(m->memory.get());
  for (size_t i = 0; i < runs.size(); ++i) {
    m->segments[i].data = to;
    to += align_up(m->segment_bytes(m->segments[i]), 256);
    upload(source, runs[i], m->segments[i], m->stride);
  }
  return m;
}

}  // namespace tessera::cuda
