#pragma once
// What of FFmpeg the rest of the folder needs: owners, memory input, a demuxer and a decoder from a
// whitelist, and its log kept off the terminal. No path or URL is ever opened, every decoder has one thread.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
}

#include <memory>
#include <string>

#include "base/error.h"
#include "media/bytes.h"

namespace tessera {

struct AvFree {
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
};
using FramePtr = std::unique_ptr<AVFrame, AvFree>;
using PacketPtr = std::unique_ptr<AVPacket, AvFree>;
using DecoderPtr = std::unique_ptr<AVCodecContext, AvFree>;

/// Never null; std::bad_alloc instead.
FramePtr make_frame();
PacketPtr make_packet();

/// Keeps FFmpeg's log off the terminal; the last error line of this thread is kept for av_reason(), and
/// forgotten here. Called at the start of every decode.
void quiet_av_log();

/// FFmpeg's text for `error`, with the last line this thread's decoder logged.
std::string av_reason(int error);

/// Whether this thread's decoder logged an error since quiet_av_log().
bool av_error_logged();

/// A demuxer that reads from memory.
class Demuxer {
 public:
  /// `format`: FFmpeg's name of the one demuxer to use. `decoders`: comma-separated whitelist of decoders,
  /// also for probing. `file` must outlive the object. Throws kBadMedia with `name`.
  Demuxer(Bytes file, const std::string& name, const char* format, const char* decoders);
  ~Demuxer();
  Demuxer(const Demuxer&) = delete;
  Demuxer& operator=(const Demuxer&) = delete;

  AVFormatContext* context() const { return context_; }
  /// The best stream of a type, cover pictures excepted; other streams are dropped. Throws kBadMedia with
  /// what the file holds instead; `what` names the wish ("sound", "picture").
  AVStream* select(AVMediaType type, const char* what);
  /// The next packet of the selected stream; false at the end of what can be read.
  bool read(AVPacket* packet);
  /// After read() returned false, or a packet that was not whole: whether data is missing.
  bool cut_short() const { return cut_short_; }
  /// "video h264, audio aac"
  std::string contents() const;

 private:
  static int read_bytes(void* self, uint8_t* to, int wanted);
  static int64_t seek(void* self, int64_t offset, int whence);
  void close();

  Bytes file_;
  std::string name_;
  int64_t position_ = 0;
  AVIOContext* io_ = nullptr;
  AVFormatContext* context_ = nullptr;
  int stream_ = -1;
  bool cut_short_ = false;
};

/// A decoder for a stream. `decoders` as above. `max_pixels` bounds a frame, with its padding, before it is
/// allocated.
DecoderPtr open_stream_decoder(const AVStream& stream, const std::string& name, const char* decoders,
                               int64_t max_pixels);

/// A decoder by FFmpeg's name, for a file that is one packet. `error_flags`: AV_EF_*; `idct`: FF_IDCT_*.
DecoderPtr open_decoder(const char* decoder, const std::string& name, int64_t max_pixels, int error_flags,
                        int idct);

}  // namespace tessera
