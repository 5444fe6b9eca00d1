#include "engine/sequence.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "media/video.h"

namespace tessera {
namespace {

// Identity of a soft-token run's content: 64 bits over the float values, 8 bytes at a time.
uint64_t content_key(std::span<const float> values) {
  uint64_t h = 0xCBF29CE484222325U ^ values.size();
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    uint64_t v;
    std::memcpy(&v, values.data() + i, 8);
    h = (h ^ v) * 0x9E3779B97F4A7C15U;
    h ^= h >> 29;
  }
  return h;
}

uint64_t soft_key(uint64_t content, TokenKind kind, int64_t place) {
  uint64_t h =
      content ^ (static_cast<uint64_t>(kind) << 56) ^ (static_cast<uint64_t>(place) * 0x9E3779B97F4A7C15U);
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9U;
  return (h ^ (h >> 31)) | (uint64_t{1} << 63);
}

const char* noun(TokenKind kind) {
  constexpr std::array<const char*, 4> kNouns = {"text", "image", "video", "audio"};
  return kNouns[static_cast<size_t>(kind)];
}

bool is_vision(TokenKind kind) {
  return kind == TokenKind::kImage || kind == TokenKind::kVideo;
}

}  // namespace

void Sequence::append_tokens(std::span<const int32_t> ids) {
  flush();
  for (const int32_t id : ids) {
    if (id < 0 || id >= config_->vocab)
      throw_error(ErrorKind::kBadRequest, "token id {} is outside of the vocabulary of {}", id,
                  config_->vocab);
    for (const int32_t soft : {config_->image_token, config_->audio_token, config_->video_token})
      if (id == soft)
        throw_error(ErrorKind::kBadRequest,
                    "token {} is a placeholder for a soft token; append the media itself", id);
    push(id);
  }
}

void Sequence::flush() {
  if (pending_.empty()) return;
  const std::string text = std::exchange(pending_, {});
  const std::vector<int32_t> ids = tokenizer_->encode(text);
  const std::array<std::pair<int32_t, TokenKind>, 3> soft = {{{config_->image_token, TokenKind::kImage},
                                                              {config_->audio_token, TokenKind::kAudio},
                                                              {config_->video_token, TokenKind::kVideo}}};
  for (const auto& [id, kind] : soft) {
    const auto extra = std::count(ids.begin(), ids.end(), id);
    if (id >= 0 && extra > 0)
      throw_error(
          ErrorKind::kBadRequest,
          "prompt has {} more {} placeholder(s) ({}) than {} parts; give as many parts as placeholders",
          extra, noun(kind), tokenizer_->token_bytes(id), noun(kind));
  }
  for (const int32_t id : ids) {
    if (id >= config_->vocab)
      throw_error(ErrorKind::kBadModel, "{}: tokenizer.json gives id {}, config.json has a vocabulary of {}",
                  config_->path, id, config_->vocab);
    push(id);
  }
}

void Sequence::push_run(int32_t begin_id, int32_t soft_id, int32_t end_id, Run run) {
  if (begin_id < 0 || soft_id < 0 || end_id < 0)
    throw_error(ErrorKind::kBadModel, "{}: config.json names no {} tokens, so this model takes none",
                config_->path, noun(run.kind));
  push(begin_id);
  run.begin = size();
  for (int64_t i = 0; i < run.count; ++i) {
    ids_.push_back(soft_id);
    keys_.push_back(soft_key(run.key, run.kind, i));
    marks_.push_back({run.kind, static_cast<int32_t>(runs_.size())});
  }
  runs_.push_back(std::move(run));
  push(end_id);
}

// Before a placeholder is missed: a model that cannot see or hear has none.
void Sequence::check_can_take(MediaKind kind) const {
  const bool audio = kind == MediaKind::kAudio;
  if (audio ? config_->audio_samples_per_token > 0 : config_->mm_embed > 0) return;
  throw_error(
      ErrorKind::kBadModel, "{}: has no {}{}", config_->path,
      audio ? "audio tensors, so it cannot hear" : "vision tensors, so it cannot see images",
      config_->path.ends_with(".gguf") ? "; they are in its mmproj: name that file with --mmproj" : "");
}

void Sequence::append_media(const std::shared_ptr<const MediaData>& data) {
  check_can_take(data->kind);
  if (data->kind == MediaKind::kAudio) {
    flush();
    if (config_->audio_samples_per_token * int64_t{data->audio.count} !=
        static_cast<int64_t>(data->audio.values.size()))
      throw_error(ErrorKind::kBadModel, "{}: audio frames of {} samples, this model takes {}", config_->path,
                  data->audio.values.size() / static_cast<size_t>(std::max(1, data->audio.count)),
                  config_->audio_samples_per_token);
    push_run(config_->audio_begin, config_->audio_token, config_->audio_end,
             {0, data->audio.count, TokenKind::kAudio, data, 0, content_key(data->audio.values), {}});
    return;
  }
  const bool video = data->kind == MediaKind::kVideo;
  for (size_t i = 0; i < data->images.size(); ++i) {
    // "mm:ss <|image>…<image|>", frames joined by one space; the text joins with what stands before it.
    if (video) append_text((i > 0 ? " " : "") + timestamp_text(data->timestamp_s[i]) + " ");
    flush();
    const Patches& p = data->images[i];
    push_run(config_->image_begin, video ? config_->video_token : config_->image_token, config_->image_end,
             {0,
              int64_t{p.cols} * p.rows,
              video ? TokenKind::kVideo : TokenKind::kImage,
              data,
              i,
              content_key(p.values),
              {}});
  }
}

void Sequence::append_rendered(std::string_view rendered, std::span<const Media> media) {
  const std::array<std::pair<int32_t, MediaKind>, 3> soft = {{{config_->image_token, MediaKind::kImage},
                                                              {config_->audio_token, MediaKind::kAudio},
                                                              {config_->video_token, MediaKind::kVideo}}};
  for (const Media& part : media) check_can_take(part.kind());
  size_t at = 0, used = 0, placeholders = 0;
  for (;;) {
    size_t next = std::string_view::npos, length = 0;
    MediaKind kind{};
    for (const auto& [id, k] : soft) {
      if (id < 0) continue;
      const std::string_view token = tokenizer_->token_bytes(id);
      if (const size_t found = rendered.find(token, at); found < next)
        next = found, length = token.size(), kind = k;
    }
    append_text(rendered.substr(at, next - at));
    if (next == std::string_view::npos) break;
    ++placeholders;
    at = next + length;
    if (used == media.size()) continue;
    if (media[used].kind() != kind)
      throw_error(ErrorKind::kBadRequest, "media part {} is a {}, the prompt's placeholder {} is {}",
                  used + 1, media[used].describe(), placeholders, rendered.substr(next, length));
    append_media(media[used++]);
  }
  if (placeholders != media.size())
    throw_error(ErrorKind::kBadRequest, "prompt has {} media placeholder(s), {} media part(s) were given",
                placeholders, media.size());
  flush();
}

const Sequence::Run* Sequence::run_at(int64_t position) const {
  const int32_t run = marks_[static_cast<size_t>(position)].run;
  return run < 0 ? nullptr : &runs_[static_cast<size_t>(run)];
}

// A run of vision tokens always stands between its own markers, so the maximal run of the mask rule is the
// run.
int64_t Sequence::block_begin(int64_t position) const {
  return is_vision(kind(position)) ? run_at(position)->begin : position;
}

int64_t Sequence::block_end(int64_t position) const {
  return is_vision(kind(position)) ? run_at(position)->begin + run_at(position)->count - 1 : position;
}

int64_t Sequence::common_prefix(std::span<const uint64_t> keys) const {
  const auto n = std::min(keys_.size(), keys.size());
  const auto differs =
      std::mismatch(keys_.begin(), keys_.begin() + static_cast<int64_t>(n), keys.begin()).first;
  const int64_t i = differs - keys_.begin();
  // Inside a block the cached keys of its first rows depend on its later rows: start again at its begin.
  return i < size() ? block_begin(i) : i;
}

int64_t Sequence::step_end(int64_t begin, int64_t chunk_tokens) const {
  const int64_t end = std::min(size(), begin + chunk_tokens);
  if (end == size() || block_begin(end) == end) return end;
  return block_begin(end) > begin ? block_begin(end) : block_end(end) + 1;
}

void Sequence::embed(Run& run, Backend& be, const Model& model) {
  if (run.rows.memory) return;
  run.rows = run.kind == TokenKind::kAudio ? embed_frames(be, model, run.data->audio.values)
                                           : embed_patches(be, model, run.data->images[run.image].values,
                                                           run.data->images[run.image].cols);
}

void Sequence::add_rows(StepPlan& plan, int64_t begin, int64_t end, int32_t index, Tensor media, Backend& be,
                        const Model& model) {
  plan.media = media;
  for (int64_t p = begin; p < end; ++p) {
    const Mark& mark = marks_[static_cast<size_t>(p)];
    if (mark.run >= 0) {
      Run& run = runs_[static_cast<size_t>(mark.run)];
      embed(run, be, model);
      if (p == begin || p == run.begin) {
        const int64_t count = std::min(end, run.begin + run.count) - p;
        be.copy({media.row(static_cast<int64_t>(plan.media_row.size())), count, media.cols, media.dtype},
                {run.rows.rows.row(p - run.begin), count, media.cols, media.dtype});
      }
      plan.media_row.push_back(static_cast<int32_t>(plan.rows()));
    }
    plan.token.push_back(mark.run >= 0 ? -1 : ids_[static_cast<size_t>(p)]);
    plan.position.push_back(static_cast<int32_t>(p));
    plan.sequence.push_back(index);
    plan.span_end.push_back(static_cast<int32_t>(block_end(p)));
  }
}

std::vector<float> Sequence::embeddings(TokenKind kind, Backend& be, const Model& model) {
  std::vector<float> out;
  for (Run& run : runs_) {
    if (run.kind != kind) continue;
    embed(run, be, model);
    const Tensor rows = run.rows.rows;
    out.resize(out.size() + static_cast<size_t>(rows.rows * rows.cols));
    be.read(out.data() + out.size() - rows.rows * rows.cols, rows);
  }
  return out;
}

}  // namespace tessera
