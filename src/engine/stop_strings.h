#pragma once
// Stop strings over streamed text: text goes on as soon as it can be no part of a stop string.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase_if(stops_, [](const std::string& s) { return s.empty(); });
  }

  /// Returns the text that may be shown now. Sets hit() at the first stop string; what follows it is dropped.
  /// Of several at one place it is the one that was given first.
  std::string push(std::string_view text) {
    if (hit() != nullptr) return {};
    held_ += text;
    size_t stop = std::string::npos;
    for (size_t i = 0; i < stops_.size(); ++i) {
      const size_t at = held_.find(stops_[i]);
      if (at < stop) stop = at, hit_ = i;
    }
    size_t safe = stop;
    if (hit() == nullptr) {
      size_t keep = 0;  // longest end of held_ that a stop string begins with
      for (const std::string& s : stops_)
        for (size_t n = std::min(s.size() - 1, held_.size()); n > keep; --n)
          if (std::string_view(held_).ends_with(std::string_view(s).substr(0, n))) keep = n;
      safe = held_.size() - keep;
    }
    std::string out = held_.substr(0, safe);
    held_.erase(0, safe);
    return out;
  }
  /// What was held back, at the end of the reply.
  std::string finish() { return hit() != nullptr ? std::string() : std::exchange(held_, {}); }
  /// The stop string that was met; null: none yet.
  const std::string* hit() const { return hit_ < stops_.size() ? &stops_[hit_] : nullptr; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  size_t hit_ = std::string::npos;  // in stops_
};

}  // namespace tessera
