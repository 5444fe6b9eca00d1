#include "media/decode_wire.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "media/audio.h"
#include "media/patches.h"
#include "media/target_size.h"

namespace tessera {
namespace {

constexpr size_t kMaxName = 1024, kMaxMessage = 2048;
constexpr uint64_t kMagic = 0x3144414544525354;  // "TSRDEAD1"

struct JobHead {
  int32_t kind, drill, soft_token_budget, frame_budget, max_frames;
  double fps, max_audio_s, max_video_s;
  int64_t max_file_bytes, max_image_pixels;
};

struct ResultHead {
  uint64_t magic;
  int32_t failed, error_kind;
  int32_t width, height;  // of every image
  int32_t source_width, source_height, source_frames;
  double source_fps;
  uint64_t images, timestamps, samples, message_bytes;  // what follows, in this order, without gaps
};

void put(int fd, const void* data, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd, at, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_error(ErrorKind::kIo, "cannot hand over what was decoded: {}", std::strerror(errno));
    at += n;
    bytes -= static_cast<size_t>(n);
  }
}

// A file that nobody else can change any more.
class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw_error(ErrorKind::kIo, "fstat: {}", std::strerror(errno));
    size_ = status.st_size;
  }
  int64_t size() const { return size_; }
  bool get(void* data, size_t bytes) {
    auto* to = static_cast<uint8_t*>(data);
    while (bytes > 0) {
      const ssize_t n = ::pread(fd_, to, bytes, at_);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      to += n;
      at_ += n;
      bytes -= static_cast<size_t>(n);
    }
    return true;
  }

 private:
  int fd_;
  int64_t at_ = 0, size_ = 0;
};

bool all_finite(const auto& values) {
  return std::all_of(values.begin(), values.end(), [](auto v) { return std::isfinite(v); });
}

// Counts and sides only; bounded here before anything is multiplied or taken.
bool plausible(const ResultHead& h, const DecodeJob& job) {
  if (job.kind == MediaKind::kAudio) {
    const double most = job.limits.max_audio_s * kSampleHz + kSampleHz;
    return h.images == 0 && h.timestamps == 0 && h.samples > 0 && static_cast<double>(h.samples) <= most;
  }
  if (h.samples != 0 || h.source_width < 1 || h.source_height < 1) return false;
  const bool video = job.kind == MediaKind::kVideo;
  const int budget = video ? job.video.soft_token_budget : job.soft_token_budget;
  if (h.width < kPatchSide || h.height < kPatchSide || h.width % kPatchSide != 0 ||
      h.height % kPatchSide != 0)
    return false;
  const int64_t tokens = int64_t{h.width / kPatchSide} * (h.height / kPatchSide);
  if (tokens > budget || h.images < 1 || h.images > static_cast<uint64_t>(kMaxVideoSoftTokens / tokens))
    return false;
  if (!video) return h.images == 1 && h.timestamps == 0;
  return h.timestamps == h.images && h.source_frames >= 1 && std::isfinite(h.source_fps) && h.source_fps > 0;
}

// The text may be anybody's by now.
std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return text;
}

[[noreturn]] void rethrow(Reader& in, const ResultHead& head) {
  std::string message(std::min<uint64_t>(head.message_bytes, kMaxMessage), '\0');
  in.get(message.data(), message.size());
  const auto kind = static_cast<ErrorKind>(head.error_kind);
  const bool ours = kind == ErrorKind::kTooLarge || kind == ErrorKind::kBadRequest || kind == ErrorKind::kIo;
  throw Error(ours ? kind : ErrorKind::kBadMedia, one_line(message));
}

}  // namespace

std::vector<uint8_t> pack_job(const DecodeJob& job) {
  const JobHead head = {static_cast<int32_t>(job.kind), static_cast<int32_t>(job.drill),
                        job.soft_token_budget,          job.video.soft_token_budget,
                        job.video.max_frames,           job.video.fps,
                        job.limits.max_audio_s,         job.limits.max_video_s,
                        job.limits.max_file_bytes,      job.limits.max_image_pixels};
  const std::string name = job.name.substr(0, kMaxName);
  std::vector<uint8_t> bytes(sizeof head + name.size());
  std::memcpy(bytes.data(), &head, sizeof head);
  std::copy(name.begin(), name.end(), bytes.begin() + sizeof head);
  return bytes;
}

DecodeJob unpack_job(Bytes bytes) {
  JobHead head;
  if (bytes.size() < sizeof head) throw_error(ErrorKind::kIo, "a job of {} bytes", bytes.size());
  std::memcpy(&head, bytes.data(), sizeof head);
  DecodeJob job;
  job.kind = static_cast<MediaKind>(head.kind);
  job.drill = static_cast<Drill>(head.drill);
  job.soft_token_budget = head.soft_token_budget;
  job.video = {head.frame_budget, head.max_frames, head.fps};
  job.limits = {head.max_file_bytes, head.max_image_pixels, head.max_audio_s, head.max_video_s, nullptr};
  job.name.assign(bytes.begin() + sizeof head, bytes.end());
  return job;
}

void write_decoded(int fd, const Decoded& d) {
  ResultHead head{};
  head.magic = kMagic;
  if (!d.images.empty()) {
    head.width = d.images[0].width;
    head.height = d.images[0].height;
  }
  head.source_width = d.source_width;
  head.source_height = d.source_height;
  head.source_frames = d.source_frames;
  head.source_fps = d.source_fps;
  head.images = d.images.size();
  head.timestamps = d.timestamp_s.size();
  head.samples = d.samples.size();
  put(fd, &head, sizeof head);
  for (const Image& image : d.images) put(fd, image.rgb.data(), image.rgb.size());
  put(fd, d.timestamp_s.data(), d.timestamp_s.size() * sizeof(double));
  put(fd, d.samples.data(), d.samples.size() * sizeof(float));
}

void write_failure(int fd, ErrorKind kind, const std::string& message) {
  ResultHead head{};
  head.magic = kMagic;
  head.failed = 1;
  head.error_kind = static_cast<int32_t>(kind);
  head.message_bytes = std::min(message.size(), kMaxMessage);
  put(fd, &head, sizeof head);
  put(fd, message.data(), head.message_bytes);
}

Decoded read_decoded(int fd, const DecodeJob& job) {
  const auto odd = [&](const char* what) {
    throw_error(ErrorKind::kBadMedia, "{}: the decoder gave back {}: it may have been taken over by the file",
                job.name, what);
  };
  Reader in(fd);
  ResultHead head;
  if (!in.get(&head, sizeof head) || head.magic != kMagic) odd("no result");
  if (head.failed != 0) rethrow(in, head);
  if (!plausible(head, job)) odd("sizes that no file has");
  const auto pixel_bytes = static_cast<size_t>(head.width) * static_cast<size_t>(head.height) * 3;
  if (in.size() != static_cast<int64_t>(sizeof head + head.images * pixel_bytes +
                                        head.timestamps * sizeof(double) + head.samples * sizeof(float)))
    odd("less or more than it said");
  Decoded d;
  d.source_width = head.source_width;
  d.source_height = head.source_height;
  d.source_frames = head.source_frames;
  d.source_fps = head.source_fps;
  bool whole = true;
  for (uint64_t i = 0; i < head.images; ++i) {
    Image& image = d.images.emplace_back(Image{head.width, head.height, std::vector<uint8_t>(pixel_bytes)});
    whole = whole && in.get(image.rgb.data(), pixel_bytes);
  }
  d.timestamp_s.resize(head.timestamps);
  d.samples.resize(head.samples);
  whole = whole && in.get(d.timestamp_s.data(), head.timestamps * sizeof(double)) &&
          in.get(d.samples.data(), head.samples * sizeof(float));
  if (!whole) odd("less than it said");
  if (!all_finite(d.timestamp_s) || !all_finite(d.samples)) odd("numbers that are not finite");
  return d;
}

int64_t most_result_bytes(const MediaLimits& limits) {
  const auto samples = static_cast<int64_t>(limits.max_audio_s * kSampleHz) + kSampleHz;
  return std::max<int64_t>(kMaxVideoSoftTokens * kPatchValues, samples * int64_t{sizeof(float)}) + (1 << 20);
}

int64_t most_decoder_bytes(const MediaLimits& limits) {
  // A picture: decoder's frame, RGB and its turned copy; a sound: samples, twice while they grow.
  constexpr int64_t kBase = int64_t{1} << 30, kPixelBytes = 12;
  return kBase + limits.max_image_pixels * kPixelBytes + 3 * most_result_bytes(limits);
}

}  // namespace tessera
