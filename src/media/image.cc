#include "media/image.h"

#include <algorithm>
#include <climits>

#include "media/pixels.h"

namespace tessera {
namespace {

void check_limits(size_t file_bytes, const ImageHeader* header, const std::string& name,
                  const MediaLimits& limits) {
  if (static_cast<int64_t>(file_bytes) > limits.max_file_bytes) {
    throw_error(ErrorKind::kTooLarge, "{}: {} bytes, the limit is {}", name, file_bytes,
                limits.max_file_bytes);
  }
  if (header == nullptr) return;
  // Neither product overflows: each side is below 2^32.
  const auto w = static_cast<uint64_t>(header->width), h = static_cast<uint64_t>(header->height);
  const auto limit = static_cast<uint64_t>(std::max<int64_t>(limits.max_image_pixels, 0));
  if (w > limit / h) {
    throw_error(ErrorKind::kTooLarge, "{}: {}x{} pixels, the limit is {} pixels; make it smaller first", name,
                w, h, limit);
  }
  if ((w + 128) * (h + 128) >= INT_MAX / 8) {
    throw_error(ErrorKind::kTooLarge,
                "{}: {}x{} pixels, the decoder's limit is {} with 128 more on each side", name, w, h,
                INT_MAX / 8);
  }
}

void append_le32(std::vector<uint8_t>& to, size_t v) {
  for (int shift = 0; shift < 32; shift += 8) to.push_back(static_cast<uint8_t>(v >> shift));
}

// The picture of a WebP as a file of its own: FFmpeg 5 does not read animations.
std::vector<uint8_t> still_webp(const WebpFrame& frame) {
  std::vector<uint8_t> body{'W', 'E', 'B', 'P'};
  if (!frame.alpha.empty() && has(frame.picture, 0, "VP8 ")) {
    for (char c : std::string_view("VP8X")) body.push_back(static_cast<uint8_t>(c));
    append_le32(body, 10);
    append_le32(body, 0x10);  // has alpha
    for (int64_t side : {frame.width - 1, frame.height - 1}) {
      for (int shift = 0; shift < 24; shift += 8) body.push_back(static_cast<uint8_t>(side >> shift));
    }
    body.insert(body.end(), frame.alpha.begin(), frame.alpha.end());
    if (body.size() % 2 != 0) body.push_back(0);
  }
  body.insert(body.end(), frame.picture.begin(), frame.picture.end());
  if (body.size() % 2 != 0) body.push_back(0);
  std::vector<uint8_t> file{'R', 'I', 'F', 'F'};
  append_le32(file, body.size());
  file.insert(file.end(), body.begin(), body.end());
  return file;
}

// The bytes a decoder gets: the file, changed where FFmpeg and Pillow part ways.
std::vector<uint8_t> decoder_input(Bytes file, const ImageHeader& header) {
  if (header.format == ImageFormat::kWebp) return still_webp(header.webp);
  std::vector<uint8_t> bytes(file.begin(), file.end());
  if (header.format == ImageFormat::kJpeg) {
    // Without the Adobe marker and components named CMYK, FFmpeg hands the components out as they are; it
    // would round CMYK its own way.
    if (header.jpeg.adobe_at != 0) bytes[header.jpeg.adobe_at] = 'a';
    for (size_t at : header.jpeg.cyan_id_at) bytes[at] = 'c';
    // FFmpeg refuses more than four 8x8 blocks a byte, which a flat progressive picture can reach.
    const auto blocks = static_cast<size_t>(((header.width + 7) / 8) * ((header.height + 7) / 8));
    if (bytes.size() < blocks / 4 + 1) bytes.resize(blocks / 4 + 1);
  }
  if (header.format == ImageFormat::kGif) {
    // Alpha is dropped, so transparent pixels show their colour, also around a first picture smaller than the
    // canvas.
    if (header.gif_control_at != 0) bytes[header.gif_control_at] &= 0xFE;
    bytes[11] = static_cast<uint8_t>(header.gif_transparent);
  }
  return bytes;
}

const char* decoder_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return "mjpeg";
    case ImageFormat::kPng:
      return "png";
    case ImageFormat::kWebp:
      return "webp";
    case ImageFormat::kGif:
      return "gif";
    case ImageFormat::kBmp:
      return "bmp";
    case ImageFormat::kTiff:
      return "tiff";
  }
  return "";
}

FramePtr decode_frame(Bytes file, const ImageHeader& header, const std::string& name) {
  const std::vector<uint8_t> bytes = decoder_input(file, header);
  if (bytes.size() > INT_MAX - AV_INPUT_BUFFER_PADDING_SIZE) {
    throw_error(ErrorKind::kTooLarge, "{}: {} bytes, the decoder's limit is {}", name, bytes.size(), INT_MAX);
  }
  // The TIFF decoder would also refuse every tag that it does not know; what it logs tells damage instead.
  const bool tiff = header.format == ImageFormat::kTiff;
  const int errors = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | (tiff ? 0 : AV_EF_EXPLODE);
  // The inverse DCT nearest to libjpeg's: 0.8 to 2.1 % of grey pixels differ, all by one level (FF_IDCT_INT,
  // which is libjpeg's own with rows before columns: 1.4 to 2.9 %; FF_IDCT_AUTO: 1.5 to 2.7 %).
  const int idct = header.format == ImageFormat::kJpeg ? FF_IDCT_FAAN : FF_IDCT_AUTO;
  const DecoderPtr decoder = open_decoder(decoder_name(header.format), name,
                                          (header.width + 128) * (header.height + 128), errors, idct);
  const PacketPtr packet = make_packet();
  if (av_new_packet(packet.get(), static_cast<int>(bytes.size())) < 0) throw std::bad_alloc();
  std::memcpy(packet->data, bytes.data(), bytes.size());
  FramePtr frame = make_frame();
  int result = avcodec_send_packet(decoder.get(), packet.get());
  if (result >= 0) result = avcodec_send_packet(decoder.get(), nullptr);
  if (result >= 0) result = avcodec_receive_frame(decoder.get(), frame.get());
  if (result >= 0 && tiff && av_error_logged()) result = AVERROR_INVALIDDATA;
  if (result < 0) {
    throw_error(ErrorKind::kBadMedia, "{}: damaged {} of {} bytes, {}x{} pixels: {}", name,
                to_string(header.format), file.size(), header.width, header.height, av_reason(result));
  }
  const int64_t width = header.format == ImageFormat::kWebp ? header.webp.width : header.width;
  const int64_t height = header.format == ImageFormat::kWebp ? header.webp.height : header.height;
  if (frame->width != width || frame->height != height) {
    throw_error(ErrorKind::kBadMedia, "{}: damaged {}: its header says {}x{} pixels, its picture has {}x{}",
                name, to_string(header.format), width, height, frame->width, frame->height);
  }
  if (frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0) {
    throw_error(ErrorKind::kBadMedia, "{}: damaged {}: part of the picture is missing", name,
                to_string(header.format));
  }
  return frame;
}

// The first frame of an animated WebP on its canvas, whose background is transparent black.
Image place_on_canvas(const Image& picture, const ImageHeader& header) {
  Image canvas{static_cast<int>(header.width), static_cast<int>(header.height), {}};
  canvas.rgb.resize(static_cast<size_t>(canvas.width) * canvas.height * 3);
  const size_t row_bytes = static_cast<size_t>(picture.width) * 3;
  for (int y = 0; y < picture.height; ++y) {
    const size_t at = (static_cast<size_t>(header.webp.y + y) * canvas.width + header.webp.x) * 3;
    std::memcpy(&canvas.rgb[at], &picture.rgb[y * row_bytes], row_bytes);
  }
  return canvas;
}

}  // namespace

Image decode_image(Bytes file, const std::string& name, const MediaLimits& limits) {
  check_limits(file.size(), nullptr, name, limits);
  quiet_av_log();
  const ImageHeader header = read_image_header(file, name);
  check_limits(file.size(), &header, name, limits);
  if (!header.damage.empty()) throw Error(ErrorKind::kBadMedia, header.damage);
  FramePtr frame = decode_frame(file, header, name);
  Image image;
  switch (header.format) {
    case ImageFormat::kJpeg:
      image = rgb_from_jpeg_frame(*frame, header.jpeg, name);
      break;
    case ImageFormat::kWebp:
      image = rgb_from_webp_frame(*frame, name);
      break;
    default:
      image = rgb_from_frame(*frame, name);
      break;
  }
  frame.reset();
  if (header.webp.animated) image = place_on_canvas(image, header);
  return apply_orientation(std::move(image), header.orientation);
}

Image apply_orientation(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const int w = image.width, h = image.height;
  const bool turned = orientation >= 5;
  Image upright{turned ? h : w, turned ? w : h, std::vector<uint8_t>(image.rgb.size())};
  // Source offset of the upright pixel (x, y) = start + x * step_x + y * step_y, in pixels.
  const int64_t row = w, last_col = w - 1, last_row = int64_t{h - 1} * w;
  int64_t start = 0, step_x = 1, step_y = row;
  switch (orientation) {
    case 2:
      start = last_col, step_x = -1, step_y = row;
      break;
    case 3:
      start = last_row + last_col, step_x = -1, step_y = -row;
      break;
    case 4:
      start = last_row, step_x = 1, step_y = -row;
      break;
    case 5:
      start = 0, step_x = row, step_y = 1;
      break;
    case 6:
      start = last_row, step_x = -row, step_y = 1;
      break;
    case 7:
      start = last_row + last_col, step_x = -row, step_y = -1;
      break;
    case 8:
      start = last_col, step_x = row, step_y = -1;
      break;
    default:
      break;
  }
  uint8_t* to = upright.rgb.data();
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x, to += 3) {
      std::memcpy(to, image.rgb.data() + (start + x * step_x + y * step_y) * 3, 3);
    }
  }
  return upright;
}

}  // namespace tessera
