#pragma once
// One conversation as positions: ids, kinds, soft tokens in place. Prompt assembly and the plan of a step.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/step_plan.h"
#include "media/media.h"
#include "model/embed.h"
#include "text/tokenizer.h"

namespace tessera {

enum class TokenKind : uint8_t {
  kText = 0,
  kImage = 1,
  kVideo = 2,
  kAudio = 3
};  // numbers as in token_types

class Sequence {
 public:
  /// `config` and `tokenizer` must outlive the sequence.
  Sequence(const ModelConfig& config, const Tokenizer& tokenizer)
      : config_(&config), tokenizer_(&tokenizer) {}

  /// Text is collected and tokenized as one string at the next media part or flush().
  void append_text(std::string_view text) { pending_ += text; }
  void append_tokens(std::span<const int32_t> ids);
  /// Throws Error(kBadModel) when the model has no tensors for it.
  void append_media(const Media& media) { append_media(media.data()); }
  void append_media(const std::shared_ptr<const MediaData>& data);
  void append_generated(int32_t id) { push(id); }
  /// A rendered chat: the k-th placeholder takes media[k]. Throws Error(kBadRequest) on a mismatch.
  void append_rendered(std::string_view rendered, std::span<const Media> media);
  /// Throws Error(kBadRequest) when the collected text holds placeholders, which have no media then.
  void flush();

  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  const std::vector<int32_t>& ids() const { return ids_; }
  /// What each position is, [size()]: a token's id, or a key of the media content and the place in it (bit 63
  /// set). Two sequences with the same keys up to a position have the same KV up to there (a vision block
  /// counts as a whole).
  const std::vector<uint64_t>& keys() const { return keys_; }
  TokenKind kind(int64_t position) const { return marks_[static_cast<size_t>(position)].kind; }
  /// First and last position of the vision block that holds `position`; the position itself outside of
  /// blocks.
  int64_t block_begin(int64_t position) const;
  int64_t block_end(int64_t position) const;

  /// Longest prefix that `keys` of another sequence shares, no vision block cut.
  int64_t common_prefix(std::span<const uint64_t> keys) const;
  /// Where a step that starts at `begin` ends: at most `chunk_tokens` rows, more only for one vision block.
  int64_t step_end(int64_t begin, int64_t chunk_tokens) const;
  /// Appends rows [begin, end) to `plan` as sequence `index`; soft tokens are embedded on first use and
  /// copied to `media` ([rows, hidden], plan.media_row.size() rows used so far).
  void add_rows(StepPlan& plan, int64_t begin, int64_t end, int32_t index, Tensor media, Backend& be,
                const Model& model);
  /// All projected soft tokens of one kind in order, for the parity probe.
  std::vector<float> embeddings(TokenKind kind, Backend& be, const Model& model);

 private:
  // A run of soft tokens: one image, one video frame, or one sound.
  struct Run {
    int64_t begin, count;
    TokenKind kind;
    std::shared_ptr<const MediaData> data;
    size_t image = 0;  // index into data->images
    uint64_t key = 0;  // of the content
    MediaRows rows;    // empty until first used
  };
  struct Mark {
    TokenKind kind = TokenKind::kText;
    int32_t run = -1;
  };

  void check_can_take(MediaKind kind) const;
  void push(int32_t id) {
    ids_.push_back(id), marks_.emplace_back(), keys_.push_back(static_cast<uint32_t>(id));
  }
  void push_run(int32_t begin_id, int32_t soft_id, int32_t end_id, Run run);
  const Run* run_at(int64_t position) const;
  void embed(Run& run, Backend& be, const Model& model);

  const ModelConfig* config_;
  const Tokenizer* tokenizer_;
  std::string pending_;
  std::vector<int32_t> ids_;
  std::vector<uint64_t> keys_;
  std::vector<Mark> marks_;
  std::vector<Run> runs_;
};

}  // namespace tessera
