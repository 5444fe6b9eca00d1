#include "media/av.h"

#include <algorithm>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <new>

namespace tessera {
namespace {

constexpr int kIoBufferBytes = 32 * 1024;

thread_local char last_log_line[160] = "";

void keep_error_line(void* source, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  char line[sizeof last_log_line];
  int print_prefix = 0;
  av_log_format_line2(source, level, format, arguments, line, sizeof line, &print_prefix);
  for (char* c = line; *c != '\0'; ++c) {
    if (*c < ' ' || *c > '~') *c = ' ';  // the text may quote the file
  }
  std::string_view text(line);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty() || text.find("Unknown or unsupported tag") != text.npos)
    return;  // every second TIFF has one
  std::snprintf(last_log_line, sizeof last_log_line, "%.*s", static_cast<int>(text.size()), text.data());
}

// A container that names another file (a QuickTime reference, say) gets nothing.
int refuse_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

// FFmpeg's own contexts and options are freed by it, whatever happens.
struct Options {
  AVDictionary* dictionary = nullptr;
  ~Options() { av_dict_free(&dictionary); }
  void set(const char* key, const char* value) { av_dict_set(&dictionary, key, value, 0); }
  void set(const char* key, int64_t value) { av_dict_set_int(&dictionary, key, value, 0); }
};

// Whether a Matroska or WebM file is shorter than its one Segment says; its demuxer takes any length.
bool matroska_cut_short(Bytes file) {
  // Sizes have as many bytes as the leading zero bits of the first tell, and one more; all ones: not known.
  const auto read_size = [&](size_t at, size_t& length) -> uint64_t {
    const uint8_t first = byte_at(file, at);
    length = 1;
    while (length <= 8 && (first & (0x80U >> (length - 1))) == 0) ++length;
    if (length > 8) return 0;
    uint64_t size = first & (0x7FU >> (length - 1));
    bool known = size != 0x7FU >> (length - 1);
    for (size_t i = 1; i < length; ++i) {
      size = (size << 8) | byte_at(file, at + i);
      known = known || byte_at(file, at + i) != 0xFF;
    }
    return known ? size : 0;
  };
  size_t length = 0;
  const uint64_t header = read_size(4, length);
  if (header > file.size()) return true;
  const size_t segment = 4 + length + header;
  if (be32(file, segment) != 0x18538067) return false;
  const uint64_t size = read_size(segment + 4, length);
  return segment + 4 + length < file.size() && size > file.size() - segment - 4 - length;
}

DecoderPtr open(const AVCodec* codec, const AVCodecParameters* parameters, const std::string& name,
                const char* decoders, int64_t max_pixels, int error_flags, int idct) {
  DecoderPtr decoder(avcodec_alloc_context3(codec));
  if (!decoder) throw std::bad_alloc();
  if (parameters != nullptr) {
    const int copied = avcodec_parameters_to_context(decoder.get(), parameters);
    if (copied < 0) throw_error(ErrorKind::kBadMedia, "{}: {}", name, av_reason(copied));
  }
  Options options;
  options.set("codec_whitelist", decoders);
  options.set("threads", 1);
  // FFmpeg compares frames with their sides padded for SIMD; the exact bound is the caller's, this one is the
  // fence.
  options.set("max_pixels", std::min<int64_t>(max_pixels, INT_MAX));
  decoder->err_recognition = error_flags;
  decoder->idct_algo = idct;
  const int opened = avcodec_open2(decoder.get(), codec, &options.dictionary);
  if (opened < 0) {
    throw_error(ErrorKind::kBadMedia, "{}: the {} decoder does not take it: {}", name, codec->name,
                av_reason(opened));
  }
  return decoder;
}

}  // namespace

FramePtr make_frame() {
  FramePtr frame(av_frame_alloc());
  if (!frame) throw std::bad_alloc();
  return frame;
}

PacketPtr make_packet() {
  PacketPtr packet(av_packet_alloc());
  if (!packet) throw std::bad_alloc();
  return packet;
}

void quiet_av_log() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_callback(keep_error_line); });
  last_log_line[0] = '\0';
}

std::string av_reason(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(error, text, sizeof text);
  return last_log_line[0] == '\0' ? std::string(text) : fmt::format("{} ({})", text, last_log_line);
}

bool av_error_logged() {
  return last_log_line[0] != '\0';
}

int Demuxer::read_bytes(void* self, uint8_t* to, int wanted) {
  auto& input = *static_cast<Demuxer*>(self);
  const int64_t left = static_cast<int64_t>(input.file_.size()) - input.position_;
  if (left <= 0) return AVERROR_EOF;
  const int n = static_cast<int>(std::min<int64_t>(left, wanted));
  std::memcpy(to, input.file_.data() + input.position_, n);
  input.position_ += n;
  return n;
}

int64_t Demuxer::seek(void* self, int64_t offset, int whence) {
  auto& input = *static_cast<Demuxer*>(self);
  const auto size = static_cast<int64_t>(input.file_.size());
  if ((whence & AVSEEK_SIZE) != 0) return size;
  int64_t from = 0;
  switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      from = input.position_;
      break;
    case SEEK_END:
      from = size;
      break;
    default:
      return AVERROR(EINVAL);
  }
  if (offset < -from || offset > size - from) return AVERROR(EINVAL);
  return input.position_ = from + offset;
}

Demuxer::Demuxer(Bytes file, const std::string& name, const char* format, const char* decoders)
    : file_(file), name_(name) {
  const AVInputFormat* input = av_find_input_format(format);
  if (input == nullptr) {
    throw_error(ErrorKind::kBadMedia, "{}: this build of FFmpeg cannot read {} files", name, format);
  }
  auto* buffer = static_cast<unsigned char*>(av_malloc(kIoBufferBytes));
  if (buffer == nullptr) throw std::bad_alloc();
  io_ = avio_alloc_context(buffer, kIoBufferBytes, 0, this, read_bytes, nullptr, seek);
  if (io_ == nullptr) {
    av_free(buffer);
    throw std::bad_alloc();
  }
  context_ = avformat_alloc_context();
  if (context_ == nullptr) {
    close();
    throw std::bad_alloc();
  }
  cut_short_ = std::string_view(format) == "matroska" && matroska_cut_short(file);
  context_->pb = io_;
  context_->flags |= AVFMT_FLAG_CUSTOM_IO;
  context_->io_open = refuse_open;
  Options options;
  options.set("format_whitelist", input->name);
  options.set("codec_whitelist", decoders);
  options.set("protocol_whitelist", "none");
  int result =
      avformat_open_input(&context_, "", input, &options.dictionary);  // frees context_ when it fails
  if (result >= 0) result = avformat_find_stream_info(context_, nullptr);
  if (result < 0) {
    const std::string reason = av_reason(result);
    close();
    throw_error(ErrorKind::kBadMedia, "{}: not a readable {} file of {} bytes: {}", name, format, file.size(),
                reason);
  }
}

Demuxer::~Demuxer() {
  close();
}

void Demuxer::close() {
  avformat_close_input(&context_);
  if (io_ != nullptr) av_freep(&io_->buffer);  // FFmpeg may have replaced the buffer it was given
  avio_context_free(&io_);
}

std::string Demuxer::contents() const {
  std::string text;
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    const AVCodecParameters& codec = *context_->streams[i]->codecpar;
    const char* type = av_get_media_type_string(codec.codec_type);
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", type == nullptr ? "unknown" : type,
                        avcodec_get_name(codec.codec_id));
    if (i == 7 && context_->nb_streams > 8) return text + ", …";
  }
  return text.empty() ? "no streams" : text;
}

AVStream* Demuxer::select(AVMediaType type, const char* what) {
  stream_ = -1;
  int64_t best = -1;
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    const AVStream& stream = *context_->streams[i];
    if (stream.codecpar->codec_type != type || (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0)
      continue;
    const int64_t rank = (stream.disposition & AV_DISPOSITION_DEFAULT) != 0 ? 1 : 0;
    if (rank > best) {
      best = rank;
      stream_ = static_cast<int>(i);
    }
  }
  if (stream_ < 0) throw_error(ErrorKind::kBadMedia, "{}: holds no {}; found: {}", name_, what, contents());
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    context_->streams[i]->discard = static_cast<int>(i) == stream_ ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
  return context_->streams[stream_];
}

bool Demuxer::read(AVPacket* packet) {
  for (;;) {
    av_packet_unref(packet);
    const int result = av_read_frame(context_, packet);
    if (result < 0) {
      cut_short_ = cut_short_ || result != AVERROR_EOF;
      return false;
    }
    if (packet->stream_index != stream_) continue;
    cut_short_ = cut_short_ || (packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
    return true;
  }
}

DecoderPtr open_stream_decoder(const AVStream& stream, const std::string& name, const char* decoders,
                               int64_t max_pixels) {
  // AV1 by name: FFmpeg's own av1 decoder needs a GPU.
  const AVCodecID id = stream.codecpar->codec_id;
  const AVCodec* codec =
      id == AV_CODEC_ID_AV1 ? avcodec_find_decoder_by_name("libdav1d") : avcodec_find_decoder(id);
  if (codec == nullptr || av_match_list(codec->name, decoders, ',') <= 0) {
    throw_error(ErrorKind::kBadMedia, "{}: {} is not decoded here; supported: {}", name, avcodec_get_name(id),
                decoders);
  }
  return open(codec, stream.codecpar, name, decoders, max_pixels, 0, FF_IDCT_AUTO);
}

DecoderPtr open_decoder(const char* decoder, const std::string& name, int64_t max_pixels, int error_flags,
                        int idct) {
  const AVCodec* codec = avcodec_find_decoder_by_name(decoder);
  if (codec == nullptr) {
    throw_error(ErrorKind::kBadMedia, "{}: this build of FFmpeg has no {} decoder", name, decoder);
  }
  return open(codec, nullptr, name, decoder, max_pixels, error_flags, idct);
}

}  // namespace tessera
