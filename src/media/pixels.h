#pragma once
// Decoded frames as RGB.
#include "media/av.h"
#include "media/image.h"
#include "media/image_header.h"

namespace tessera {

/// RGB, grey and palette frames: exact. `name` is for errors: kBadMedia for a format that is not one of
/// these.
Image rgb_from_frame(const AVFrame& frame, const std::string& name);

/// A JPEG's components: chroma upsampled and colours converted by libjpeg's integer rules, CMYK as Pillow
/// does.
Image rgb_from_jpeg_frame(const AVFrame& frame, const JpegHeader& jpeg, const std::string& name);

/// A lossy WebP's 4:2:0 components by libwebp's integer rules; a lossless one as rgb_from_frame.
Image rgb_from_webp_frame(const AVFrame& frame, const std::string& name);

/// A video frame by libswscale, with its own colour matrix and range. Throws kBadMedia for a pixel format it
/// cannot convert.
Image rgb_from_video_frame(const AVFrame& frame, const std::string& name);

}  // namespace tessera
