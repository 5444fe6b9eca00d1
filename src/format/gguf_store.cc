// TensorStore::open_gguf: one file or all parts of a split one, and the mmproj.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "format/blocks.h"
#include "format/gguf.h"
#include "format/json.h"

namespace tessera {
namespace {

constexpr const char* kEmbedding = "model.language_model.embed_tokens.weight";
constexpr const char* kOutput = "output.weight";
constexpr int kMaxParts = 99999;  // five digits
constexpr int64_t kComparedRows = 64;

/// "DIR/name-00001-of-00003.gguf" → its parts; nothing for another name.
struct PartName {
  std::string prefix;  // "DIR/name"
  int number = 0, count = 0;
  std::string of(int part) const { return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part, count); }
};

std::optional<PartName> part_name(const std::string& path) {
  constexpr size_t kTail = std::string_view("-00001-of-00003.gguf").size();
  if (path.size() <= kTail) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kTail);
  const auto digits = [&](size_t at) {
    int value = 0;
    for (size_t i = at; i < at + 5; ++i) {
      if (tail[i] < '0' || tail[i] > '9') return 0;
      value = value * 10 + (tail[i] - '0');
    }
    return value;
  };
  PartName name{path.substr(0, path.size() - kTail), digits(1), digits(10)};
  if (name.number < 1 || name.number > name.count || name.of(name.number) != path) return std::nullopt;
  return name;
}

void expect_architecture(const GgufMetadata& file, const std::string& wanted, const std::string& remedy) {
  constexpr const char* kKey = "general.architecture";
  const std::string found = file.text_or(kKey, "");
  if (found == wanted) return;
  std::string advice = remedy;
  if (wanted == "gemma4" && found == "clip")
    advice = "this is an mmproj: name the model, and this with --mmproj";
  file.refuse(kKey, fmt::format("\"{}\"; {}", wanted, advice));
}

/// The model or its drafter.
void expect_text(const GgufMetadata& file) {
  if (!is_drafter_architecture(file.text_or("general.architecture", "")))
    expect_architecture(file, "gemma4", "this engine runs Gemma 4 12B Unified only");
}

bool same_rows(const FileTensor& a, const FileTensor& b) {
  if (a.type != b.type || a.shape != b.shape || a.shape.size() != 2) return false;
  const int64_t rows = a.shape[0], bytes = static_cast<int64_t>(a.bytes.size()) / rows;
  for (int64_t i = 0; i < kComparedRows; ++i) {
    const int64_t row = (rows - 1) * i / (kComparedRows - 1);
    if (std::memcmp(a.bytes.data() + row * bytes, b.bytes.data() + row * bytes, static_cast<size_t>(bytes)) !=
        0)
      return false;
  }
  return true;
}

}  // namespace

bool is_drafter_architecture(std::string_view name) {
  return name == "gemma4-assistant" || name == "gemma4_assistant";
}

std::shared_ptr<GgufMetadata> TensorStore::add_gguf(const std::string& path) {
  auto map = std::make_unique<FileMap>(path);
  GgufFile file = parse_gguf(map->bytes(), path);
  for (GgufEntry& entry : file.entries) {
    const std::string canonical = adopt_gguf_tensor(entry.tensor);
    const std::string unknown =
        entry.known_type
            ? ""
            : entry.type_name + "; use a file of BF16, F16, Q8_0, Q6_K, Q5_K, Q4_K, Q5_0, Q4_0 or IQ4_NL";
    add(canonical, std::move(entry.tensor), unknown);
  }
  maps_.push_back(std::move(map));
  return std::make_shared<GgufMetadata>(std::move(file.metadata));
}

void TensorStore::add_gguf_parts(const std::string& path) {
  const std::optional<PartName> name = part_name(path);
  gguf_ = add_gguf(name ? name->of(1) : path);
  const int64_t parts = gguf_->integer_or("split.count", 1, 0, kMaxParts);
  if (parts <= 1) {
    if (name && name->count > 1)
      gguf_->refuse("split.count", fmt::format("{}, as the file's name says", name->count));
    return;
  }
  if (!name || name->count != parts)
    gguf_->refuse(
        "split.count",
        "1, or a name that says which part this is (name-00001-of-00003.gguf); give the parts their "
        "names back, or join them with llama-gguf-split --merge");
  if (gguf_->integer_or("split.no", 0, 0, kMaxParts) != 0) gguf_->refuse("split.no", "0 in the first part");
  for (int part = 2; part <= name->count; ++part) {
    if (!file_exists(name->of(part)))
      throw_error(ErrorKind::kIo, "{}: missing; the model has {} parts: download all of them", name->of(part),
                  parts);
    const auto metadata = add_gguf(name->of(part));
    if (metadata->integer_or("split.no", -1, 0, kMaxParts) != part - 1)
      metadata->refuse("split.no", fmt::format("{}: the parts belong to different models", part - 1));
    if (metadata->integer_or("split.count", -1, 0, kMaxParts) != parts)
      metadata->refuse("split.count", fmt::format("{}: the parts belong to different models", parts));
  }
  const auto tensors = static_cast<int64_t>(tensors_.size() + unknown_types_.size());
  if (gguf_->integer_or("split.tensors.count", tensors, 0, INT64_MAX) != tensors)
    gguf_->refuse("split.tensors.count", fmt::format("{}, which is what the {} parts have", tensors, parts));
}

void TensorStore::drop_copy_of_embedding() {
  const FileTensor *output = find(kOutput), *embedding = find(kEmbedding);
  if (output == nullptr || embedding == nullptr) return;
  if (!same_rows(*output, *embedding))
    throw_error(
        ErrorKind::kBadModel,
        "{}: has an output.weight ({} {}) that is no copy of token_embd.weight ({} {}): this engine uses "
        "the embedding as the output matrix, as the published model does; convert the model again",
        output->file, to_string(output->type), output->shape_text(), to_string(embedding->type),
        embedding->shape_text());
  tensors_.erase(kOutput);
}

TensorStore TensorStore::open_gguf(const std::string& path, const std::string& mmproj) {
  TensorStore store;
  store.add_gguf_parts(path);
  expect_text(*store.gguf_);
  store.drop_copy_of_embedding();
  if (mmproj.empty()) return store;
  // Looked at by itself first: the text of another model would be told of as tensors that are there twice.
  TensorStore media;
  media.mmproj_ = media.add_gguf(mmproj);
  expect_architecture(*media.mmproj_, "clip",
                      fmt::format("the mmproj that was made with {}", printable(path)));
  for (const auto& [name, tensor] : media.tensors_) store.add(name, tensor, "");
  store.unknown_types_.merge(media.unknown_types_);
  store.mmproj_ = std::move(media.mmproj_);
  std::move(media.maps_.begin(), media.maps_.end(), std::back_inserter(store.maps_));
  return store;
}

}  // namespace tessera
