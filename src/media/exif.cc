#include "media/exif.h"

#include "media/bytes.h"

namespace tessera {

using namespace std::string_view_literals;

TiffTags read_tiff_tags(Bytes block) {
  if (has(block, 0, "Exif\0\0"sv)) block = block.subspan(6);
  const bool little = has(block, 0, "II*\0"sv);
  if (!little && !has(block, 0, "MM\0*"sv)) return {};
  const auto u16 = [&](size_t at) { return little ? le16(block, at) : be16(block, at); };
  const auto u32 = [&](size_t at) { return little ? le32(block, at) : be32(block, at); };
  TiffTags tags;
  const size_t directory = u32(4);
  const uint32_t entries = u16(directory);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{i} * 12;  // tag, type, count, value
    if (entry + 12 > block.size()) break;
    const uint32_t type = u16(entry + 2);
    if (type != 3 && type != 4) continue;  // SHORT, LONG
    const uint32_t value = type == 3 ? u16(entry + 8) : u32(entry + 8);
    switch (u16(entry)) {
      case 256:
        tags.width = value;
        break;
      case 257:
        tags.height = value;
        break;
      case 259:
        tags.compression = value;
        break;
      case 262:
        tags.photometric = value;
        break;
      case 274:
        tags.orientation = value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
        break;
      default:
        break;
    }
  }
  return tags;
}

}  // namespace tessera
