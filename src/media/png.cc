#include <algorithm>

#include "media/av.h"
#include "media/image.h"
#include "media/target_size.h"

namespace tessera {

std::vector<uint8_t> encode_png(const Image& image) {
  if (image.width < 1 || image.height < 1)
    throw_error(ErrorKind::kBadRequest, "a PNG needs at least one pixel");
  quiet_av_log();
  const AVCodec* codec = avcodec_find_encoder_by_name("png");
  if (codec == nullptr) throw_error(ErrorKind::kBadRequest, "this build of FFmpeg has no PNG encoder");
  const DecoderPtr encoder(avcodec_alloc_context3(codec));  // freed the same way
  if (!encoder) throw std::bad_alloc();
  encoder->width = image.width;
  encoder->height = image.height;
  encoder->pix_fmt = AV_PIX_FMT_RGB24;
  encoder->time_base = {1, 1};
  encoder->thread_count = 1;
  const FramePtr frame = make_frame();
  frame->width = image.width;
  frame->height = image.height;
  frame->format = AV_PIX_FMT_RGB24;
  const PacketPtr packet = make_packet();
  int result = avcodec_open2(encoder.get(), codec, nullptr);
  if (result >= 0) result = av_frame_get_buffer(frame.get(), 0);
  if (result >= 0) {
    const size_t row_bytes = static_cast<size_t>(image.width) * 3;
    for (int y = 0; y < image.height; ++y) {
      std::memcpy(frame->data[0] + static_cast<ptrdiff_t>(y) * frame->linesize[0], &image.rgb[y * row_bytes],
                  row_bytes);
    }
    result = avcodec_send_frame(encoder.get(), frame.get());
  }
  if (result >= 0) result = avcodec_send_frame(encoder.get(), nullptr);
  if (result >= 0) result = avcodec_receive_packet(encoder.get(), packet.get());
  if (result < 0) {
    throw_error(ErrorKind::kBadRequest, "{}x{} pixels cannot become a PNG: {}", image.width, image.height,
                av_reason(result));
  }
  return {packet->data, packet->data + packet->size};
}

Image draw_patch_grid(const Image& image) {
  Image drawn = image;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (x % kPatchSide != 0 && y % kPatchSide != 0) continue;
      uint8_t* rgb = &drawn.rgb[(static_cast<size_t>(y) * image.width + x) * 3];
      // Thousandths of luma (BT.601): at least half the scale away from any background.
      const int luma = 299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2];
      std::fill_n(rgb, 3, luma < 128'000 ? uint8_t{255} : uint8_t{0});
    }
  }
  return drawn;
}

}  // namespace tessera
