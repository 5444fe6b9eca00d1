#include <algorithm>

#include "backend/backend.h"

namespace tessera {

int64_t WeightSource::rows() const {
  int64_t sum = 0;
  for (const WeightPart& part : parts) sum += align_up(part.rows, row_align);
  return sum;
}

void WeightSource::fetch() const {
  for (const WeightPart& part : parts)
    if (part.fetch) part.fetch();
}

void WeightSource::read(int64_t first, int64_t count, float* out) const {
  std::fill(out, out + count * cols, 0.0F);
  int64_t begin = 0;  // first row of the part
  for (const WeightPart& part : parts) {
    const int64_t from = std::max(first, begin), to = std::min(first + count, begin + part.rows);
    if (from < to) part.read(from - begin, to - from, out + (from - first) * cols);
    begin += align_up(part.rows, row_align);
  }
}

}  // namespace tessera
