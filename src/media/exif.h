#pragma once
#include <cstdint>
#include <span>

namespace tessera {

/// What of a TIFF structure (an EXIF block, or a TIFF file) concerns us: entries of its first directory.
struct TiffTags {
  int64_t width = 0, height = 0;  // tags 256, 257; 0 when absent
  int orientation = 1;            // tag 274, 1 … 8; 1 when absent or nonsense
  int64_t compression = 1;        // tag 259
  int64_t photometric = 2;        // tag 262
};

/// `block` starts at the byte-order mark ("II*\0" or "MM\0*"); "Exif\0\0" before it is skipped. Reads nothing
/// outside `block` and never throws: a damaged block reads as one without tags.
TiffTags read_tiff_tags(std::span<const uint8_t> block);

}  // namespace tessera
