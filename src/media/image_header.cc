#include "media/image_header.h"

#include <algorithm>

#include "base/error.h"
#include "media/exif.h"

namespace tessera {
namespace {

using namespace std::string_view_literals;

// Recorded, not thrown: a size over the limit is the more useful error.
void cut_short(Bytes file, const std::string& name, const char* missing, ImageHeader& header) {
  header.damage = fmt::format("{}: {} cut short: {} missing in {} bytes; fetch the file again", name,
                              to_string(header.format), missing, file.size());
}

// ---- JPEG

bool is_restart(uint32_t marker) {
  return marker >= 0xD0 && marker <= 0xD7;
}

// libjpeg's default_decompress_parms.
JpegColor jpeg_color(Bytes file, const JpegHeader& jpeg, bool jfif, std::array<uint8_t, 4> ids) {
  const bool adobe = jpeg.adobe_at != 0;
  const int transform = byte_at(file, jpeg.adobe_at + 11);
  if (jpeg.components == 1) return JpegColor::kGrey;
  if (jpeg.components == 4) return adobe && transform == 2 ? JpegColor::kYcck : JpegColor::kCmyk;
  if (jfif) return JpegColor::kYcc;
  if (adobe) return transform == 0 ? JpegColor::kRgb : JpegColor::kYcc;
  return ids[0] == 'R' && ids[1] == 'G' && ids[2] == 'B' ? JpegColor::kRgb : JpegColor::kYcc;
}

// Walks the markers up to the end of the first picture; a decoder would take a missing end silently.
void read_jpeg(Bytes file, const std::string& name, ImageHeader& header) {
  JpegHeader& jpeg = header.jpeg;
  std::array<uint8_t, 4> ids{};
  bool jfif = false, exif = false, scan = false;
  for (size_t at = 2; at < file.size();) {
    if (file[at] != 0xFF) {  // entropy-coded data, or junk between segments
      const auto* next = static_cast<const uint8_t*>(std::memchr(&file[at], 0xFF, file.size() - at));
      if (next == nullptr) break;
      at = static_cast<size_t>(next - file.data());
    }
    const uint32_t marker = byte_at(file, at + 1);
    if (marker == 0xFF) {
      ++at;
      continue;
    }
    if (marker <= 1 || is_restart(marker) || marker == 0xD8) {
      at += 2;
      continue;
    }
    if (marker == 0xD9) {
      if (!scan) throw_error(ErrorKind::kBadMedia, "{}: JPEG without a picture", name);
      jpeg.color = jpeg_color(file, jpeg, jfif, ids);
      return;
    }
    const size_t length = be16(file, at + 2), body = at + 4;
    if (length < 2 || at + 2 + length > file.size()) break;
    const Bytes segment = file.subspan(body, length - 2);
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      jpeg.components = byte_at(segment, 5);
      if (marker > 0xC2 || byte_at(segment, 0) != 8 ||
          (jpeg.components != 1 && jpeg.components != 3 && jpeg.components != 4)) {
        throw_error(
            ErrorKind::kBadMedia,
            "{}: JPEG of kind SOF{} with {} bits and {} components; expected baseline or progressive with 8 "
            "bits and 1, 3 or 4; save it again as a usual JPEG or PNG",
            name, marker - 0xC0, byte_at(segment, 0), jpeg.components);
      }
      header.height = be16(segment, 1);
      header.width = be16(segment, 3);
      for (int c = 0; c < jpeg.components; ++c) {
        ids[c] = byte_at(segment, 6 + c * 3);
        jpeg.h[c] = byte_at(segment, 7 + c * 3) >> 4;
        jpeg.v[c] = byte_at(segment, 7 + c * 3) & 15;
      }
      if (jpeg.components == 4 && ids[0] == 'C') jpeg.cyan_id_at.push_back(body + 6);
    } else if (marker == 0xE0 && has(segment, 0, "JFIF\0"sv)) {
      jfif = true;
    } else if (marker == 0xE1 && !exif && has(segment, 0, "Exif\0\0"sv)) {
      exif = true;
      header.orientation = read_tiff_tags(segment).orientation;
    } else if (marker == 0xEE && jpeg.adobe_at == 0 && segment.size() >= 12 && has(segment, 0, "Adobe"sv)) {
      jpeg.adobe_at = body;
    } else if (marker == 0xDA) {
      if (jpeg.components == 0)
        throw_error(ErrorKind::kBadMedia, "{}: JPEG scan before its frame header", name);
      scan = true;
      for (size_t c = 0; c < byte_at(segment, 0) && !jpeg.cyan_id_at.empty(); ++c) {
        if (byte_at(segment, 1 + c * 2) == 'C') jpeg.cyan_id_at.push_back(body + 1 + c * 2);
      }
    }
    at += 2 + length;
  }
  cut_short(file, name, "its end marker", header);
}

// ---- PNG

void read_png(Bytes file, const std::string& name, ImageHeader& header) {
  if (!has(file, 12, "IHDR"sv)) throw_error(ErrorKind::kBadMedia, "{}: PNG without IHDR", name);
  header.width = be32(file, 16);
  header.height = be32(file, 20);
  bool data = false;
  for (size_t at = 8; at + 12 <= file.size();) {
    const size_t length = be32(file, at);
    if (length > file.size() - at - 12) break;
    if (has(file, at + 4, "IEND"sv) && data) return;
    if (has(file, at + 4, "IDAT"sv)) data = true;
    if (has(file, at + 4, "eXIf"sv))
      header.orientation = read_tiff_tags(file.subspan(at + 8, length)).orientation;
    at += 12 + length;
  }
  cut_short(file, name, data ? "its IEND chunk" : "its picture (IDAT)", header);
}

// ---- WebP

// The size of a VP8 or VP8L chunk's picture, 0x0 when it is neither.
std::array<int64_t, 2> webp_picture_size(Bytes chunk) {
  if (has(chunk, 0, "VP8 "sv) && has(chunk, 11, "\x9d\x01\x2a"sv)) {
    return {le16(chunk, 14) & 0x3FFF, le16(chunk, 16) & 0x3FFF};
  }
  if (has(chunk, 0, "VP8L"sv) && byte_at(chunk, 8) == 0x2F) {
    const uint32_t bits = le32(chunk, 9);
    return {int64_t{bits & 0x3FFF} + 1, int64_t{(bits >> 14) & 0x3FFF} + 1};
  }
  return {0, 0};
}

// Chunks of `file` from `at` on; `visit` gets each with its header and returns false to stop. False: cut
// short.
template <typename Visit>
bool each_chunk(Bytes file, size_t at, const Visit& visit) {
  while (at + 8 <= file.size()) {
    const size_t length = le32(file, at + 4);
    if (length > file.size() - at - 8) return false;
    if (!visit(file.subspan(at, 8 + length))) return true;
    at += 8 + length + (length & 1);
  }
  return true;
}

void read_webp(Bytes file, const std::string& name, ImageHeader& header) {
  WebpFrame& frame = header.webp;
  int64_t canvas_w = 0, canvas_h = 0;
  const auto take = [&](Bytes chunk) {
    if (has(chunk, 0, "ALPH"sv) && frame.picture.empty()) frame.alpha = chunk;
    if ((has(chunk, 0, "VP8 "sv) || has(chunk, 0, "VP8L"sv)) && frame.picture.empty()) frame.picture = chunk;
    return true;
  };
  const bool whole = each_chunk(file, 12, [&](Bytes chunk) {
    if (has(chunk, 0, "VP8X"sv)) {
      canvas_w = int64_t{le24(chunk, 12)} + 1;
      canvas_h = int64_t{le24(chunk, 15)} + 1;
    } else if (has(chunk, 0, "EXIF"sv)) {
      header.orientation = read_tiff_tags(chunk.subspan(8)).orientation;
    } else if (has(chunk, 0, "ANMF"sv) && chunk.size() >= 24 && frame.picture.empty()) {
      frame.animated = true;
      frame.x = int64_t{le24(chunk, 8)} * 2;
      frame.y = int64_t{le24(chunk, 11)} * 2;
      if (!each_chunk(chunk, 24, take)) return false;
    }
    return take(chunk);
  });
  if (!whole || frame.picture.empty() || le32(file, 4) > file.size() - 8) {
    cut_short(file, name, frame.picture.empty() ? "its picture" : "part of its last chunk", header);
  }
  if (frame.picture.empty()) {
    header.width = canvas_w;
    header.height = canvas_h;
    return;
  }
  const auto [w, h] = webp_picture_size(frame.picture);
  frame.width = w;
  frame.height = h;
  header.width = canvas_w > 0 ? canvas_w : w;
  header.height = canvas_h > 0 ? canvas_h : h;
  if (w < 1 || h < 1 || frame.x + w > header.width || frame.y + h > header.height ||
      (!frame.animated && (w != header.width || h != header.height))) {
    throw_error(ErrorKind::kBadMedia, "{}: WebP frame of {}x{} at ({}, {}) on a canvas of {}x{}", name, w, h,
                frame.x, frame.y, header.width, header.height);
  }
}

// ---- GIF

// Past a chain of sub-blocks; `file.size() + 1` when it does not end.
size_t skip_sub_blocks(Bytes file, size_t at) {
  while (at < file.size()) {
    const size_t length = file[at];
    at += 1 + length;
    if (length == 0) return at;
  }
  return file.size() + 1;
}

void read_gif(Bytes file, const std::string& name, ImageHeader& header) {
  header.width = le16(file, 6);
  header.height = le16(file, 8);
  const uint8_t flags = byte_at(file, 10);
  size_t at = 13 + ((flags & 0x80) != 0 ? size_t{3} << ((flags & 7) + 1) : 0);
  while (at < file.size()) {
    if (file[at] == 0x21) {  // extension; 0xF9 is the graphic control of the next picture
      if (byte_at(file, at + 1) == 0xF9 && byte_at(file, at + 2) == 4) {
        const bool transparent = (byte_at(file, at + 3) & 1) != 0;
        header.gif_control_at = transparent ? at + 3 : 0;
        header.gif_transparent = transparent ? byte_at(file, at + 6) : 0;
      }
      at = skip_sub_blocks(file, at + 2);
    } else if (file[at] == 0x2C) {  // picture
      const uint8_t local = byte_at(file, at + 9);
      at += 10 + ((local & 0x80) != 0 ? size_t{3} << ((local & 7) + 1) : 0);
      if (skip_sub_blocks(file, at + 1) > file.size()) break;
      return;
    } else {
      throw_error(ErrorKind::kBadMedia, "{}: GIF block 0x{:02x} at byte {} is unknown or no picture came",
                  name, file[at], at);
    }
  }
  cut_short(file, name, "the end of its first picture", header);
}

void read_bmp(Bytes file, const std::string& name, ImageHeader& header) {
  const bool old = le32(file, 14) == 12;
  header.width = old ? le16(file, 18) : static_cast<int32_t>(le32(file, 18));
  header.height = old ? le16(file, 20) : static_cast<int32_t>(le32(file, 22));
  if (header.height < 0) header.height = -header.height;  // rows from the top
  // FFmpeg takes too few bytes for rows without padding and draws a slanted picture. Sizes below 2^31, bits
  // below 2^16.
  const uint32_t compression = old ? 0 : le32(file, 30), bits = le16(file, old ? 24 : 28);
  const uint64_t left = file.size() - std::min<uint64_t>(file.size(), le32(file, 10));
  const uint64_t row_bytes = (static_cast<uint64_t>(std::max<int64_t>(header.width, 0)) * bits + 31) / 32 * 4;
  if ((compression == 0 || compression == 3) && header.height > 0 &&
      row_bytes > left / static_cast<uint64_t>(header.height)) {
    cut_short(file, name, "part of its picture", header);
  }
}

void read_tiff(Bytes file, const std::string& name, ImageHeader& header) {
  const TiffTags tags = read_tiff_tags(file);
  header.width = tags.width;
  header.height = tags.height;
  header.orientation = tags.orientation;
  // FFmpeg's decoder draws JPEG inside TIFF as noise, and YCbCr wrongly, without an error.
  constexpr std::array<int64_t, 8> kCompressions{1, 2, 3,     4,
                                                 5, 8, 32773, 32946};  // none, fax, LZW, zlib, PackBits
  const bool known =
      std::find(kCompressions.begin(), kCompressions.end(), tags.compression) != kCompressions.end();
  if (!known || tags.photometric > 5 || tags.photometric == 4) {
    throw_error(ErrorKind::kBadMedia,
                "{}: TIFF with compression {} and photometric interpretation {}; supported are uncompressed, "
                "fax, LZW, "
                "deflate and PackBits in grey, RGB, palette or CMYK; save it as PNG",
                name, tags.compression, tags.photometric);
  }
}

}  // namespace

const char* to_string(ImageFormat format) {
  constexpr std::array kNames{"JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"};
  return kNames[static_cast<size_t>(format)];
}

ImageHeader read_image_header(Bytes file, const std::string& name) {
  ImageHeader header;
  if (file.empty()) throw_error(ErrorKind::kBadMedia, "{}: the image file is empty", name);
  if (has(file, 0, "\xff\xd8\xff"sv)) {
    header.format = ImageFormat::kJpeg;
    read_jpeg(file, name, header);
  } else if (has(file, 0, "\x89PNG\r\n\x1a\n"sv)) {
    header.format = ImageFormat::kPng;
    read_png(file, name, header);
  } else if (has(file, 0, "RIFF"sv) && has(file, 8, "WEBP"sv)) {
    header.format = ImageFormat::kWebp;
    read_webp(file, name, header);
  } else if (has(file, 0, "GIF87a"sv) || has(file, 0, "GIF89a"sv)) {
    header.format = ImageFormat::kGif;
    read_gif(file, name, header);
  } else if (has(file, 0, "BM"sv)) {
    header.format = ImageFormat::kBmp;
    read_bmp(file, name, header);
  } else if (has(file, 0, "II*\0"sv) || has(file, 0, "MM\0*"sv)) {
    header.format = ImageFormat::kTiff;
    read_tiff(file, name, header);
  } else {
    throw_error(
        ErrorKind::kBadMedia,
        "{}: not an image this program reads: {} bytes starting {:02x} {:02x} {:02x} {:02x}; expected JPEG, "
        "PNG, WebP, GIF, BMP or TIFF",
        name, file.size(), byte_at(file, 0), byte_at(file, 1), byte_at(file, 2), byte_at(file, 3));
  }
  if (header.width < 1 || header.height < 1) {
    if (!header.damage.empty()) throw Error(ErrorKind::kBadMedia, header.damage);
    throw_error(ErrorKind::kBadMedia, "{}: {} of {}x{} pixels", name, to_string(header.format), header.width,
                header.height);
  }
  return header;
}

}  // namespace tessera
