// Chroma upsampling and colour conversion of JPEG and lossy WebP, by the integer arithmetic of the libraries
// that the reference decodes with (libjpeg-turbo with "fancy upsampling", libwebp), so that pixels are equal
// and not just close: a level of difference reaches the logits. libswscale differs by several levels at
// coloured edges.
#include <algorithm>
#include <array>

#include "media/pixels.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

namespace tessera {
namespace {

uint8_t clip(int v) {
  return static_cast<uint8_t>(std::clamp(v, 0, 255));
}

struct Plane {
  const uint8_t* data = nullptr;
  ptrdiff_t stride = 0;
  int width = 0, height = 0;

  const uint8_t* row(int y) const { return data + std::clamp(y, 0, height - 1) * stride; }
};

Plane plane_of(const AVFrame& frame, int index, int log2_w, int log2_h) {
  return {frame.data[index], frame.linesize[index], AV_CEIL_RSHIFT(frame.width, log2_w),
          AV_CEIL_RSHIFT(frame.height, log2_h)};
}

// ---- JPEG

// Doubles a row's width; `row` has `n` > 0 values of weight 1 << shift, edges repeat. libjpeg rounds the two
// halves differently so that they do not drift: `left`, `right`.
template <typename T>
void widen(const T* row, int n, int shift, int left, int right, std::vector<uint8_t>& out) {
  for (int x = 0; x < n; ++x) {
    const int here = 3 * row[x];
    const size_t at = size_t{2} * x;
    out[at] = static_cast<uint8_t>((here + row[std::max(x - 1, 0)] + left) >> shift);
    out[at + 1] = static_cast<uint8_t>((here + row[std::min(x + 1, n - 1)] + right) >> shift);
  }
}

// A component at the picture's resolution, row by row (libjpeg's jdsample.c: triangle filter for factors of
// two, replication for others and for planes no wider than two).
class JpegComponent {
 public:
  JpegComponent(const Plane& plane, int log2_w, int log2_h)
      : plane_(plane),
        log2_w_(log2_w),
        log2_h_(log2_h),
        row_((static_cast<size_t>(plane.width) << log2_w) + 2),
        sums_(plane.width) {}

  const uint8_t* row(int y) {
    const bool wide_enough = plane_.width > 2;
    const uint8_t* near = plane_.row(y >> log2_h_);
    if (log2_w_ == 0 && log2_h_ == 0) return near;
    const uint8_t* far = plane_.row((y >> 1) + ((y & 1) != 0 ? 1 : -1));
    if (log2_w_ == 1 && log2_h_ == 0 && wide_enough) {
      widen(near, plane_.width, 2, 1, 2, row_);
    } else if (log2_w_ == 1 && log2_h_ == 1 && wide_enough) {
      for (int x = 0; x < plane_.width; ++x) sums_[x] = static_cast<uint16_t>(3 * near[x] + far[x]);
      widen(sums_.data(), plane_.width, 4, 8, 7, row_);
    } else if (log2_w_ == 0 && log2_h_ == 1) {
      const int bias = (y & 1) != 0 ? 2 : 1;
      for (int x = 0; x < plane_.width; ++x)
        row_[x] = static_cast<uint8_t>((3 * near[x] + far[x] + bias) >> 2);
    } else {
      for (size_t x = 0; x < static_cast<size_t>(plane_.width) << log2_w_; ++x) row_[x] = near[x >> log2_w_];
    }
    return row_.data();
  }

 private:
  Plane plane_;
  int log2_w_, log2_h_;
  std::vector<uint8_t> row_;    // with room for an odd width rounded up
  std::vector<uint16_t> sums_;  // 3 * nearer row + farther row
};

// libjpeg's tables with 16 fraction bits (jdcolor.c).
struct YccTables {
  std::array<int, 256> red{}, blue{}, green_cb{}, green_cr{};

  YccTables() {
    constexpr int kHalf = 1 << 15;
    for (int i = 0; i < 256; ++i) {
      const int v = i - 128;
      red[i] = (91881 * v + kHalf) >> 16;    // 1.40200
      blue[i] = (116130 * v + kHalf) >> 16;  // 1.77200
      green_cr[i] = -46802 * v;              // 0.71414
      green_cb[i] = -22554 * v + kHalf;      // 0.34414
    }
  }
};

void ycc_to_rgb(const YccTables& t, uint8_t y, uint8_t cb, uint8_t cr, uint8_t* rgb) {
  rgb[0] = clip(y + t.red[cr]);
  rgb[1] = clip(y + ((t.green_cb[cb] + t.green_cr[cr]) >> 16));
  rgb[2] = clip(y + t.blue[cb]);
}

// Pillow: files hold inverted CMYK (as Adobe writes it, whether marked or not); then white - ink per channel.
uint8_t ink_to_level(uint8_t inverted, uint8_t inverted_key) {
  const int product = (255 - inverted) * inverted_key + 128;
  return clip(inverted_key - (((product >> 8) + product) >> 8));
}

// ---- WebP

// libwebp's fancy upsampling: 9:3:3:1 with its two-step rounding.
int upsample_webp(const uint8_t* near, const uint8_t* far, int x, int neighbour) {
  const int a = near[x], b = near[neighbour], c = far[x], d = far[neighbour];
  return (((a + b + c + d + 8 + 2 * (b + c)) >> 3) + a) >> 1;
}

int multiply_high(int v, int factor) {
  return (v * factor) >> 8;
}

uint8_t clip_webp(int v) {
  return clip(v >> 6);
}

}  // namespace

Image rgb_from_jpeg_frame(const AVFrame& frame, const JpegHeader& jpeg, const std::string& name) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  // Planes in the order of the file's components; FFmpeg keeps RGB as G, B, R.
  const bool planar_rgb = frame.format == AV_PIX_FMT_GBRP || frame.format == AV_PIX_FMT_GBRAP;
  const std::array<int, 4> order = planar_rgb ? std::array{2, 0, 1, 3} : std::array{0, 1, 2, 3};
  const bool planar = format != nullptr && format->comp[0].depth == 8 &&
                      format->nb_components == jpeg.components &&
                      ((format->flags & AV_PIX_FMT_FLAG_PLANAR) != 0 || format->nb_components == 1);
  if (!planar) {
    throw_error(ErrorKind::kBadMedia, "{}: JPEG decoded as {}, expected {} planes of 8 bits", name,
                format == nullptr ? "nothing" : format->name, jpeg.components);
  }
  std::vector<JpegComponent> components;
  for (int c = 0; c < jpeg.components; ++c) {
    const bool chroma = c == 1 || c == 2;
    const int log2_w = chroma ? format->log2_chroma_w : 0, log2_h = chroma ? format->log2_chroma_h : 0;
    components.emplace_back(plane_of(frame, order[c], log2_w, log2_h), log2_w, log2_h);
  }
  static const YccTables tables;
  Image image{frame.width, frame.height,
              std::vector<uint8_t>(static_cast<size_t>(frame.width) * frame.height * 3)};
  uint8_t* to = image.rgb.data();
  for (int y = 0; y < frame.height; ++y) {
    std::array<const uint8_t*, 4> in{};
    for (int c = 0; c < jpeg.components; ++c) in[c] = components[c].row(y);
    for (int x = 0; x < frame.width; ++x, to += 3) {
      switch (jpeg.color) {
        case JpegColor::kGrey:
          to[0] = to[1] = to[2] = in[0][x];
          break;
        case JpegColor::kYcc:
          ycc_to_rgb(tables, in[0][x], in[1][x], in[2][x], to);
          break;
        case JpegColor::kRgb:
          for (int c = 0; c < 3; ++c) to[c] = in[c][x];
          break;
        case JpegColor::kYcck:
          ycc_to_rgb(tables, in[0][x], in[1][x], in[2][x], to);
          for (int c = 0; c < 3; ++c) to[c] = ink_to_level(static_cast<uint8_t>(255 - to[c]), in[3][x]);
          break;
        case JpegColor::kCmyk:
          for (int c = 0; c < 3; ++c) to[c] = ink_to_level(in[c][x], in[3][x]);
          break;
      }
    }
  }
  return image;
}

Image rgb_from_webp_frame(const AVFrame& frame, const std::string& name) {
  if (frame.format != AV_PIX_FMT_YUV420P && frame.format != AV_PIX_FMT_YUVA420P)
    return rgb_from_frame(frame, name);
  Image image{frame.width, frame.height,
              std::vector<uint8_t>(static_cast<size_t>(frame.width) * frame.height * 3)};
  const Plane luma = plane_of(frame, 0, 0, 0), cb = plane_of(frame, 1, 1, 1), cr = plane_of(frame, 2, 1, 1);
  uint8_t* to = image.rgb.data();
  for (int y = 0; y < frame.height; ++y) {
    const int row = y >> 1, other = row + ((y & 1) != 0 ? 1 : -1);
    const uint8_t* light = luma.row(y);
    for (int x = 0; x < frame.width; ++x, to += 3) {
      const int col = x >> 1, beside = std::clamp(col + ((x & 1) != 0 ? 1 : -1), 0, cb.width - 1);
      const int u = upsample_webp(cb.row(row), cb.row(other), col, beside);
      const int v = upsample_webp(cr.row(row), cr.row(other), col, beside);
      const int l =
          multiply_high(light[x], 19077);  // BT.601, limited range, 14 fraction bits (libwebp's dsp/yuv.h)
      to[0] = clip_webp(l + multiply_high(v, 26149) - 14234);
      to[1] = clip_webp(l - multiply_high(u, 6419) - multiply_high(v, 13320) + 8708);
      to[2] = clip_webp(l + multiply_high(u, 33050) - 17685);
    }
  }
  return image;
}

}  // namespace tessera
