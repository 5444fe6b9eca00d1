#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace tessera {

namespace {
uint32_t hash_of(std::string_view text) {
  return static_cast<uint32_t>(std::hash<std::string_view>{}(text));
}
}  // namespace

Vocabulary::Vocabulary(std::string arena, int64_t tokens)
    : arena_(std::move(arena)),
      spans_(static_cast<size_t>(tokens)),
      slots_(std::bit_ceil(static_cast<size_t>(tokens) * 2 + 2)) {}

Vocabulary::Added Vocabulary::add(int32_t id, uint32_t begin, uint32_t length) {
  Span& span = spans_[static_cast<size_t>(id)];
  if (span.begin != kUnset) return Added::kIdTaken;
  const std::string_view text(arena_.data() + begin, length);
  const uint32_t hash = hash_of(text);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at].id != kNone; at = (at + 1) & mask) {
    if (slots_[at].hash == hash && this->text(slots_[at].id) == text) return Added::kTextTaken;
  }
  span = {begin, length};
  slots_[at] = {hash, id};
  return Added::kYes;
}

int32_t Vocabulary::first_gap() const {
  const auto gap =
      std::find_if(spans_.begin(), spans_.end(), [](const Span& s) { return s.begin == kUnset; });
  return gap == spans_.end() ? kNone : static_cast<int32_t>(gap - spans_.begin());
}

int32_t Vocabulary::find(std::string_view text) const {
  if (slots_.empty()) return kNone;
  const uint32_t hash = hash_of(text);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].id != kNone; at = (at + 1) & mask) {
    if (slots_[at].hash == hash && this->text(slots_[at].id) == text) return slots_[at].id;
  }
  return kNone;
}

}  // namespace tessera
