#include "text/detokenizer.h"

#include "text/utf8.h"

namespace tessera {

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string text;
  size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Char c = read_utf8(pending_, at);
    if (c.incomplete) break;
    if (c.bytes == 0) {
      text += kReplacement;
      ++at;
    } else {
      text.append(pending_, at, static_cast<size_t>(c.bytes));
      at += static_cast<size_t>(c.bytes);
    }
  }
  pending_.erase(0, at);
  return text;
}

std::string Utf8Stream::finish() {
  std::string text;
  for (size_t i = 0; i < pending_.size(); ++i) text += kReplacement;
  pending_.clear();
  return text;
}

}  // namespace tessera
