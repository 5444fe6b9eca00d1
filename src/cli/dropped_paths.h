#pragma once
// Files dropped onto a terminal arrive as text in the line: quoted, with escaped blanks, or as file://
// addresses.
#include <string>
#include <string_view>
#include <vector>

namespace tessera::cli {

struct DroppedPaths {
  std::vector<std::string> paths;  // in the order of the line
  std::string text;                // the line without them
};

/// Takes out of `line` what names an existing file that Tessera reads as media (media_kind_of). Understood
/// are plain words, 'single' and "double" quotes around a word, back-slashes before blanks, and file:// with
/// %XX. Anything else stays in the text as it was, apostrophes too.
DroppedPaths take_dropped_paths(std::string_view line);

}  // namespace tessera::cli
