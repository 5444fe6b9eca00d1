#pragma once
// What an image file says about itself before anything is decoded.
#include <array>
#include <string>
#include <vector>

#include "media/bytes.h"

namespace tessera {

enum class ImageFormat { kJpeg, kPng, kWebp, kGif, kBmp, kTiff };
const char* to_string(ImageFormat format);

/// How a JPEG's components become colours, by libjpeg's rules.
enum class JpegColor { kGrey, kYcc, kRgb, kCmyk, kYcck };

struct JpegHeader {
  JpegColor color = JpegColor::kYcc;
  int components = 0;
  std::array<uint8_t, 4> h{}, v{};  // sampling factors
  size_t adobe_at = 0;              // of the text "Adobe" of the first APP14; 0: none
  std::vector<size_t> cyan_id_at;   // where frame and scan headers name component 'C', for four components
};

/// A part of a WebP: the first frame of an animation, or the whole picture.
struct WebpFrame {
  bool animated = false;
  int64_t x = 0, y = 0, width = 0, height = 0;  // pixels, on the canvas
  Bytes alpha, picture;                         // whole ALPH and VP8 or VP8L chunks, headers included
};

struct ImageHeader {
  ImageFormat format = ImageFormat::kPng;
  int64_t width = 0, height = 0;  // pixels as stored, before orientation
  int orientation = 1;            // EXIF tag 274
  std::string damage;             // not empty: the whole error of a file cut short, to be thrown as kBadMedia
  JpegHeader jpeg;
  WebpFrame webp;
  // GIF: where the decoder is told to draw transparent pixels too (0: nowhere), and the transparent index.
  size_t gif_control_at = 0;
  int gif_transparent = 0;
};

/// Tells the format by its first bytes and reads sizes, EXIF orientation and what decoders leave unchecked (a
/// file cut short: `damage`). Throws kBadMedia when there is no size to be had.
ImageHeader read_image_header(Bytes file, const std::string& name);

}  // namespace tessera
