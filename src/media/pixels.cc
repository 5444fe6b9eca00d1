#include "media/pixels.h"

extern "C" {
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

namespace tessera {
namespace {

Image blank(const AVFrame& frame) {
  const size_t pixels = static_cast<size_t>(frame.width) * frame.height;
  return {frame.width, frame.height, std::vector<uint8_t>(pixels * 3)};
}

const uint8_t* plane_row(const AVFrame& frame, int plane, int y) {
  return frame.data[plane] + static_cast<ptrdiff_t>(y) * frame.linesize[plane];
}

// One channel, 8 bits or the high byte of 16, into every third byte.
void copy_channel(const AVFrame& frame, const AVPixFmtDescriptor& format, int component, int channel,
                  Image& image) {
  const AVComponentDescriptor& c = format.comp[component];
  const bool big_endian = (format.flags & AV_PIX_FMT_FLAG_BE) != 0;
  const int offset = c.offset + (c.depth == 16 && !big_endian ? 1 : 0);
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* from = plane_row(frame, c.plane, y) + offset;
    uint8_t* to = image.rgb.data() + static_cast<size_t>(y) * image.width * 3 + channel;
    for (int x = 0; x < image.width; ++x, from += c.step, to += 3) *to = *from;
  }
}

// Calls to_rgb(row, x) -> 0xRRGGBB for each pixel.
template <typename ToRgb>
Image map_pixels(const AVFrame& frame, const ToRgb& to_rgb) {
  Image image = blank(frame);
  uint8_t* to = image.rgb.data();
  for (int y = 0; y < frame.height; ++y) {
    const uint8_t* row = plane_row(frame, 0, y);
    for (int x = 0; x < frame.width; ++x, to += 3) {
      const uint32_t rgb = to_rgb(row, x);
      to[0] = static_cast<uint8_t>(rgb >> 16);
      to[1] = static_cast<uint8_t>(rgb >> 8);
      to[2] = static_cast<uint8_t>(rgb);
    }
  }
  return image;
}

// A 16-bit pixel of 5-bit red and blue and `green_bits` of green, scaled by v * 255 / max as Pillow does.
uint32_t expand_565(uint32_t v, int green_bits) {
  const uint32_t green_max = (1U << green_bits) - 1;
  const uint32_t r = ((v >> (5 + green_bits)) & 31) * 255 / 31, g = ((v >> 5) & green_max) * 255 / green_max;
  return (r << 16) | (g << 8) | ((v & 31) * 255 / 31);
}

}  // namespace

Image rgb_from_frame(const AVFrame& frame, const std::string& name) {
  const auto pixel_format = static_cast<AVPixelFormat>(frame.format);
  switch (pixel_format) {
    case AV_PIX_FMT_PAL8:
      return map_pixels(frame, [&](const uint8_t* row, int x) {
        uint32_t argb = 0;
        std::memcpy(&argb, frame.data[1] + size_t{row[x]} * 4, 4);
        return argb;
      });
    case AV_PIX_FMT_MONOBLACK:
    case AV_PIX_FMT_MONOWHITE: {
      const int flip = pixel_format == AV_PIX_FMT_MONOWHITE ? 1 : 0;
      return map_pixels(frame, [&](const uint8_t* row, int x) {
        return (((row[x / 8] >> (7 - x % 8)) & 1) ^ flip) != 0 ? 0xFFFFFFU : 0U;
      });
    }
    case AV_PIX_FMT_RGB555LE:
    case AV_PIX_FMT_RGB565LE: {
      const int green_bits = pixel_format == AV_PIX_FMT_RGB565LE ? 6 : 5;
      return map_pixels(frame, [&](const uint8_t* row, int x) {
        return expand_565(le16({row, static_cast<size_t>(frame.width) * 2}, static_cast<size_t>(x) * 2),
                          green_bits);
      });
    }
    default:
      break;
  }
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(pixel_format);
  if (format == nullptr)
    throw_error(ErrorKind::kBadMedia, "{}: pixel format {} is unknown", name, frame.format);
  const bool rgb = (format->flags & AV_PIX_FMT_FLAG_RGB) != 0 && format->nb_components >= 3;
  const bool grey = format->nb_components <= 2;
  bool plain = (rgb || grey) && (format->flags & (AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM |
                                                  AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_HWACCEL)) == 0;
  for (int c = 0; c < (rgb ? 3 : 1); ++c) {
    const AVComponentDescriptor& component = format->comp[c];
    plain = plain && component.shift == 0 && (component.depth == 8 || component.depth == 16);
  }
  if (!plain) {
    throw_error(ErrorKind::kBadMedia, "{}: pixels are {}, which is not supported; save it as PNG", name,
                format->name);
  }
  Image image = blank(frame);
  for (int channel = 0; channel < 3; ++channel)
    copy_channel(frame, *format, rgb ? channel : 0, channel, image);
  return image;
}

Image rgb_from_video_frame(const AVFrame& frame, const std::string& name) {
  struct Free {
    void operator()(SwsContext* p) const { sws_freeContext(p); }
  };
  // Accurate and without SIMD variants that differ, so that a frame is the same on every machine.
  constexpr int kFlags =
      SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
  const std::unique_ptr<SwsContext, Free> scaler(
      sws_getContext(frame.width, frame.height, static_cast<AVPixelFormat>(frame.format), frame.width,
                     frame.height, AV_PIX_FMT_RGB24, kFlags, nullptr, nullptr, nullptr));
  if (!scaler) {
    const char* format = av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame.format));
    throw_error(ErrorKind::kBadMedia, "{}: frames of {}x{} pixels in {} cannot become RGB", name, frame.width,
                frame.height, format == nullptr ? "an unknown format" : format);
  }
  // Absent a matrix in the file: BT.601, as FFmpeg's own tools take it.
  const int matrix = frame.colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_ITU601 : frame.colorspace;
  const int full_range = frame.color_range == AVCOL_RANGE_JPEG ? 1 : 0;
  sws_setColorspaceDetails(scaler.get(), sws_getCoefficients(matrix), full_range,
                           sws_getCoefficients(SWS_CS_ITU601), 1, 0, 1 << 16, 1 << 16);
  // libswscale may write past a row's end up to its SIMD width; only the last row could leave the buffer.
  Image image = blank(frame);
  image.rgb.resize(image.rgb.size() + 64);
  uint8_t* planes[4] = {image.rgb.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {frame.width * 3, 0, 0, 0};
  sws_scale(scaler.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
  image.rgb.resize(image.rgb.size() - 64);
  return image;
}

}  // namespace tessera
