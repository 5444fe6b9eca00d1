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
  std::string push(std::string_view text) {
    if (hit_) return {};
    held_ += text;
    size_t stop = std::string::npos;
    for (const std::string& s : stops_) stop = std::min(stop, held_.find(s));
    hit_ = stop != std::string::npos;
    size_t safe = stop;
    if (!hit_) {
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
  std::string finish() { return hit_ ? std::string() : std::exchange(held_, {}); }
  bool hit() const { return hit_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool hit_ = false;
};

}  // namespace tessera
