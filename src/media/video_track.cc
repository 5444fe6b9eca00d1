#include "media/video_track.h"

extern "C" {
#include <libavutil/display.h>
}

#include <algorithm>

namespace tessera {

const char* const kVideoDecoders = "h264,hevc,mpeg4,mjpeg,vp8,vp9,libdav1d";

namespace {

using namespace std::string_view_literals;

// The EXIF orientation that shows what the display matrix asks for; 1 when it is no quarter turn.
int orientation_of(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVPacketSideData* side = av_packet_side_data_get(
      stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const uint8_t* data = side == nullptr ? nullptr : side->data;
  const size_t bytes = side == nullptr ? 0 : side->size;
#else
  size_t bytes = 0;
  const uint8_t* data = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
#endif
  if (data == nullptr || bytes < 9 * sizeof(int32_t)) return 1;
  int32_t m[9];
  std::memcpy(m, data, sizeof m);
  const auto sign = [](int32_t v) { return v > 0 ? 1 : v < 0 ? -1 : 0; };
  // Shown (x, y) = (a x + c y, b x + d y).
  const int a = sign(m[0]), b = sign(m[1]), c = sign(m[3]), d = sign(m[4]);
  constexpr int kMatrix[8][4] = {{1, 0, 0, 1}, {-1, 0, 0, 1}, {-1, 0, 0, -1}, {1, 0, 0, -1},
                                 {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, -1, 0}, {0, -1, 1, 0}};
  for (int i = 0; i < 8; ++i) {
    if (a == kMatrix[i][0] && b == kMatrix[i][1] && c == kMatrix[i][2] && d == kMatrix[i][3]) return i + 1;
  }
  return 1;
}

bool is_shown(const AVPacket& packet, AVCodecID codec) {
  if ((packet.flags & AV_PKT_FLAG_DISCARD) != 0) return false;  // before the start of an edit list
  // VP8 keeps its hidden reference frames in packets of their own; bit 4 of the frame tag is show_frame.
  return codec != AV_CODEC_ID_VP8 || packet.size == 0 || (packet.data[0] & 0x10) != 0;
}

double frame_rate(const AVStream& stream, const VideoTrack& track) {
  const auto plausible = [](double fps) { return fps >= 0.01 && fps <= 1000; };
  if (stream.avg_frame_rate.num > 0 && stream.avg_frame_rate.den > 0) {
    if (const double fps = av_q2d(stream.avg_frame_rate); plausible(fps)) return fps;
  }
  const std::vector<int64_t> order = presentation_order(track);
  if (order.size() >= 2) {
    const double span_s = static_cast<double>(order.back() - order.front()) * av_q2d(stream.time_base);
    const double fps = span_s > 0 ? static_cast<double>(order.size() - 1) / span_s : 0;
    if (plausible(fps)) return fps;
  }
  return 24;  // the reference's assumption
}

void check_size(const AVStream& stream, const std::string& name, const MediaLimits& limits) {
  const int64_t w = stream.codecpar->width, h = stream.codecpar->height;
  if (w > 0 && h > 0 && w > std::max<int64_t>(limits.max_image_pixels, 0) / h) {
    throw_error(ErrorKind::kTooLarge, "{}: frames of {}x{} pixels, the limit is {} pixels", name, w, h,
                limits.max_image_pixels);
  }
}

}  // namespace

const char* video_demuxer(Bytes file, const std::string& name) {
  if (has(file, 4, "ftyp"sv) || has(file, 4, "moov"sv) || has(file, 4, "mdat"sv) || has(file, 4, "wide"sv)) {
    return "mov";
  }
  if (has(file, 0, "\x1a\x45\xdf\xa3"sv)) return "matroska";
  throw_error(ErrorKind::kBadMedia,
              "{}: not a video this program reads: {} bytes starting {:02x} {:02x} {:02x} {:02x} {:02x} "
              "{:02x} {:02x} "
              "{:02x}; expected MP4, MOV, WebM or Matroska",
              name, file.size(), byte_at(file, 0), byte_at(file, 1), byte_at(file, 2), byte_at(file, 3),
              byte_at(file, 4), byte_at(file, 5), byte_at(file, 6), byte_at(file, 7));
}

VideoTrack read_video_track(Bytes file, const std::string& name, const MediaLimits& limits) {
  Demuxer demuxer(file, name, video_demuxer(file, name), kVideoDecoders);
  AVStream* stream = demuxer.select(AVMEDIA_TYPE_VIDEO, "picture track");
  check_size(*stream, name, limits);
  VideoTrack track;
  track.codec = avcodec_get_name(stream->codecpar->codec_id);
  track.orientation = orientation_of(*stream);
  const PacketPtr packet = make_packet();
  int64_t first = INT64_MAX, last = INT64_MIN;
  while (demuxer.read(packet.get())) {
    const bool shown = is_shown(*packet, stream->codecpar->codec_id);
    track.packets.push_back({packet->pts, (packet->flags & AV_PKT_FLAG_KEY) != 0, shown});
    if (!shown) continue;
    ++track.shown;
    if (packet->pts == AV_NOPTS_VALUE) continue;
    first = std::min(first, packet->pts);
    last = std::max(last, packet->pts);
  }
  const int indexed = avformat_index_get_entries_count(stream);
  const auto read = static_cast<int>(track.packets.size());
  if (demuxer.cut_short() || indexed > read) {
    throw_error(ErrorKind::kBadMedia,
                "{}: cut short: {} of {} {} frames are in its {} bytes; fetch the file again", name, read,
                indexed > read ? std::to_string(indexed) : "more", track.codec, file.size());
  }
  if (track.shown == 0) {
    throw_error(ErrorKind::kBadMedia, "{}: no pictures in its {} packets of {}; found: {}", name, read,
                track.codec, demuxer.contents());
  }
  track.fps = frame_rate(*stream, track);
  const double span_s =
      last > first ? (static_cast<double>(last) - static_cast<double>(first)) * av_q2d(stream->time_base) : 0;
  const double duration_s = std::max(span_s, track.shown / track.fps);
  if (duration_s > limits.max_video_s) {
    throw_error(ErrorKind::kTooLarge, "{}: the video lasts {:.1f} s, the limit is {:.1f} s; cut it", name,
                duration_s, limits.max_video_s);
  }
  return track;
}

std::vector<int64_t> presentation_order(const VideoTrack& track) {
  if (track.packets.empty() || !track.packets.front().key) return {};
  std::vector<int64_t> order;
  for (const VideoPacket& packet : track.packets) {
    if (!packet.shown) continue;
    if (packet.pts == AV_NOPTS_VALUE) return {};
    order.push_back(packet.pts);
  }
  std::sort(order.begin(), order.end());
  if (std::adjacent_find(order.begin(), order.end()) != order.end()) return {};
  return order;
}

std::vector<bool> packets_for(const VideoTrack& track, const std::vector<int64_t>& wanted) {
  const size_t count = track.packets.size();
  std::vector<size_t> group(count);  // of each packet
  std::vector<int64_t> key_pts;      // of each group
  for (size_t i = 0; i < count; ++i) {
    if (track.packets[i].key || key_pts.empty()) key_pts.push_back(track.packets[i].pts);
    group[i] = key_pts.size() - 1;
  }
  std::vector<bool> group_needed(key_pts.size());
  for (size_t i = 0; i < count; ++i) {
    const VideoPacket& packet = track.packets[i];
    if (!packet.shown || !std::binary_search(wanted.begin(), wanted.end(), packet.pts)) continue;
    group_needed[group[i]] = true;
    if (group[i] > 0 && packet.pts < key_pts[group[i]]) group_needed[group[i] - 1] = true;
  }
  std::vector<bool> needed(count);
  for (size_t i = 0; i < count; ++i) needed[i] = group_needed[group[i]];
  return needed;
}

}  // namespace tessera
