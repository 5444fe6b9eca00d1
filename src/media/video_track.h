#pragma once
// A video track read without decoding: which packets there are, and which of them a set of frames needs.
#include <string>
#include <vector>

#include "media/av.h"
#include "tessera/tessera.h"

namespace tessera {

/// The whitelist of video decoders.
extern const char* const kVideoDecoders;

struct VideoPacket {
  int64_t pts = AV_NOPTS_VALUE;  // in the stream's time base
  bool key = false;              // decoding can start here
  bool shown = true;             // gives a picture that is presented
};

struct VideoTrack {
  std::vector<VideoPacket> packets;  // in order of decoding
  int shown = 0;
  double fps = 0;       // 24 when neither the header nor the time stamps tell
  int orientation = 1;  // EXIF numbering, from the display matrix
  std::string codec;
};

/// FFmpeg's demuxer for these first bytes. Throws kBadMedia when it is no video this program reads.
const char* video_demuxer(Bytes file, const std::string& name);

/// Reads every packet of the picture track once. Throws kBadMedia (no pictures, cut short), kTooLarge (pixels
/// of a frame, duration).
VideoTrack read_video_track(Bytes file, const std::string& name, const MediaLimits& limits);

/// The time stamps of the shown packets in order of presentation; empty when they cannot tell pictures apart
/// (one is missing, two are equal, or the first packet is not a key).
std::vector<int64_t> presentation_order(const VideoTrack& track);

/// For each packet whether it must be decoded for the pictures at `wanted` (time stamps): whole groups of
/// pictures, the one before too where a picture is presented before its group's key.
std::vector<bool> packets_for(const VideoTrack& track, const std::vector<int64_t>& wanted);

}  // namespace tessera
