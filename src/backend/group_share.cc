// Which part of a weight each rank of a group holds, and how it is read from the whole.
#include <algorithm>
#include <cstring>

#include "backend/group_backend.h"
#include "base/error.h"

namespace tessera {
namespace {

// Cuts at multiples of these: whole super-blocks of K-quants, groups of the others, tiles of 16 rows. The
// same for rows of gate and up and columns of down, since it depends on the width only.
constexpr int64_t kUnits[] = {256, 32, 16};

int64_t unit_of(int64_t size, int ranks) {
  for (const int64_t unit : kUnits)
    if (size % unit == 0 && size / unit >= ranks) return unit;
  throw_error(ErrorKind::kBadRequest,
              "a width of {} cannot be shared out among {} cards in pieces of 16; use fewer --gpus", size,
              ranks);
}

template <typename T>
void take(const T* from, int64_t first, int64_t end, void* to) {
  std::copy(from + first, from + end, static_cast<T*>(to));
}

void take_scales(QuantLayout::Scale scale, const void* from, int64_t first, int64_t end, void* to) {
  using Scale = QuantLayout::Scale;
  if (scale == Scale::kF32)
    take(static_cast<const float*>(from), first, end, to);
  else if (scale == Scale::kSuper)
    take(static_cast<const uint8_t*>(from), first, end, to);
  else
    take(static_cast<const uint16_t*>(from), first, end, to);
}

// Columns [first, first + count) of a row of `cols`.
void read_columns(const WeightPart& part, int64_t cols, Share share, int64_t row, const QuantRow& out) {
  const QuantLayout& q = part.quant;
  const auto groups = static_cast<size_t>((cols + q.group - 1) / q.group),
             supers = static_cast<size_t>((cols + kSuperBlock - 1) / kSuperBlock);
  // Scales of up to 4 bytes.
  thread_local std::vector<uint8_t> codes;
  thread_local std::vector<float> scales, mins;
  thread_local std::vector<uint16_t> super_scales, super_mins;
  codes.resize(static_cast<size_t>(cols));
  for (auto* v : {&scales, &mins}) v->resize(groups);
  for (auto* v : {&super_scales, &super_mins}) v->resize(supers);
  part.read_quant(row, {codes.data(), scales.data(), mins.data(), super_scales.data(), super_mins.data()});
  const int64_t end = share.first + share.count, first_group = share.first / q.group,
                end_group = (end + q.group - 1) / q.group;
  take(codes.data(), share.first, end, out.codes);
  take_scales(q.scale, scales.data(), first_group, end_group, out.scales);
  if (q.has_min) take_scales(q.scale, mins.data(), first_group, end_group, out.mins);
  if (q.scale != QuantLayout::Scale::kSuper) return;
  const int64_t first_super = share.first / kSuperBlock, end_super = (end + kSuperBlock - 1) / kSuperBlock;
  take(super_scales.data(), first_super, end_super, out.super_scales);
  if (q.has_min) take(super_mins.data(), first_super, end_super, out.super_mins);
}

WeightPart columns_of(const WeightPart& part, int64_t cols, Share share) {
  const int64_t block = part.quant.bits == 0                             ? 1
                        : part.quant.scale == QuantLayout::Scale::kSuper ? kSuperBlock
                                                                         : part.quant.group;
  if (share.first % block != 0 ||
      ((share.first + share.count) % block != 0 && share.first + share.count != cols))
    throw_error(ErrorKind::kBadRequest,
                "a matrix of {} columns in blocks of {} cannot be cut at column {}; use fewer --gpus", cols,
                block, share.first % block != 0 ? share.first : share.first + share.count);
  WeightPart out{.rows = part.rows, .stored = part.stored, .quant = part.quant, .fetch = part.fetch};
  out.read = [&part, cols, share](int64_t first, int64_t count, float* to) {
    thread_local std::vector<float> row;
    row.resize(static_cast<size_t>(cols));
    for (int64_t r = 0; r < count; ++r) {
      part.read(first + r, 1, row.data());
      take(row.data(), share.first, share.first + share.count, to + r * share.count);
    }
  };
  if (part.read_quant)
    out.read_quant = [&part, cols, share](int64_t row, const QuantRow& to) {
      read_columns(part, cols, share, row, to);
    };
  return out;
}

WeightPart rows_of(const WeightPart& part, Share share) {
  WeightPart out{.rows = share.count, .stored = part.stored, .quant = part.quant, .fetch = part.fetch};
  out.read = [&part, share](int64_t first, int64_t count, float* to) {
    part.read(share.first + first, count, to);
  };
  if (part.read_quant)
    out.read_quant = [&part, share](int64_t row, const QuantRow& to) {
      part.read_quant(share.first + row, to);
    };
  return out;
}

}  // namespace

void check_heads(int64_t q_heads, int64_t kv_heads, int ranks) {
  if (q_heads % ranks != 0 || (kv_heads % ranks != 0 && ranks % kv_heads != 0))
    throw_error(
        ErrorKind::kBadRequest,
        "{} query heads and {} KV heads cannot be shared out evenly among {} cards; use another --gpus",
        q_heads, kv_heads, ranks);
}

Share share_of(int64_t size, int64_t heads, int rank, int ranks) {
  if (heads > 0) {
    const int64_t head = size / heads;
    if (heads < ranks) return {rank * heads / ranks * head, head};
    return {heads * rank / ranks * head, heads / ranks * head};
  }
  const int64_t unit = unit_of(size, ranks), units = size / unit;
  const int64_t first = units * rank / ranks, end = units * (rank + 1) / ranks;
  return {first * unit, (end - first) * unit};
}

WeightSource share_of(const WeightSource& whole, int rank, int ranks) {
  WeightSource out{
      .cols = whole.cols, .row_align = whole.row_align, .keep = whole.keep, .layer = whole.layer};
  if (whole.cut == Cut::kInputs) {
    const Share share = share_of(whole.cols, whole.heads, rank, ranks);
    out.cols = share.count;
    for (const WeightPart& p : whole.parts) out.parts.push_back(columns_of(p, whole.cols, share));
  } else if (whole.cut == Cut::kOutputs) {
    for (const WeightPart& p : whole.parts)
      out.parts.push_back(rows_of(p, share_of(p.rows, p.heads, rank, ranks)));
  } else {
    out.parts = whole.parts;
  }
  return out;
}

}  // namespace tessera
