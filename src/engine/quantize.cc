// A model → GGUF with matrices of one number format.
#include <algorithm>

#include "base/error.h"
#include "engine/quantize_parts.h"
#include "engine/source_files.h"
#include "format/blocks.h"

namespace tessera {
namespace {

struct Recipe {
  const char* name;
  FileType matrices, embedding;
  uint32_t file_type;  // llama.cpp's number for it
};
constexpr Recipe kRecipes[] = {
    {"q8_0", FileType::kQ8_0, FileType::kQ8_0, 7},  {"q6_k", FileType::kQ6_K, FileType::kQ6_K, 18},
    {"q4_k", FileType::kQ4_K, FileType::kQ6_K, 14}, {"q4_0", FileType::kQ4_0, FileType::kQ6_K, 2},
    {"bf16", FileType::kBF16, FileType::kBF16, 32}, {"f32", FileType::kF32, FileType::kF32, 0},
};
static_assert(kRecipes[4].file_type == kMostlyBF16);

const Recipe& recipe_of(const char* command, const std::string& type) {
  const auto* it =
      std::find_if(std::begin(kRecipes), std::end(kRecipes), [&](const Recipe& r) { return type == r.name; });
  if (it == std::end(kRecipes))
    throw_error(ErrorKind::kBadRequest,
                "{}: type \"{}\" is unknown; choose q8_0, q6_k, q4_k, q4_0, bf16 or f32", command, type);
  return *it;
}

int64_t data_bytes(const GgufPlan& plan) {
  int64_t bytes = 0;
  for (const OutputTensor& t : plan.tensors) bytes += t.rows * t.row_bytes;
  return bytes;
}

}  // namespace

FileType matrix_type_of(const char* command, const std::string& type) {
  return recipe_of(command, type).matrices;
}

FileType possible_type(FileType wanted, int64_t cols, Notes& notes) {
  if (!is_block_type(wanted) || cols % block_values(wanted) == 0) return wanted;
  const FileType instead = cols % block_values(FileType::kQ8_0) == 0 ? FileType::kQ8_0 : FileType::kBF16;
  notes.add(fmt::format("rows of {} values are no whole blocks of {} ({}); written as {}", cols,
                        block_values(wanted), to_string(wanted), to_string(instead)));
  return instead;
}

WriteReport write_gguf(const char* command, const SourceModel& source, const GgufPlan& text,
                       FileType media_matrices, const GgufTarget& target) {
  check_output(command, target.out, source);
  GgufPlan media;
  const bool with_media = !target.mmproj_out.empty();
  if (with_media) {
    check_output(command, target.mmproj_out, source);
    if (target.mmproj_out == target.out)
      throw_error(ErrorKind::kBadRequest, "{}: {} is given for the model and for its mmproj", command,
                  target.out);
    media = plan_media(source, media_matrices);
  }
  WriteReport report;
  count_tensors(text.tensors, report);
  count_tensors(media.tensors, report);
  const auto media_bytes = static_cast<double>(data_bytes(media)),
             text_bytes = static_cast<double>(data_bytes(text));
  check_free_space(target.out, data_bytes(text) + data_bytes(media));

  ThreadPool pool(target.threads);
  const auto write = [&](const GgufPlan& plan, GgufWriter& file, double before, double bytes) {
    stream_tensors(
        plan.tensors, pool, [&](std::span<const uint8_t> piece) { file.write(piece); },
        [&](double fraction) {
          if (target.on_progress)
            target.on_progress(std::min(1.0, (before + fraction * bytes) / (media_bytes + text_bytes)));
        });
  };
  GgufWriter text_file(target.out, text.header, text.entries());
  report.bytes = text_file.file_bytes();
  std::optional<GgufWriter> media_file;
  if (with_media) {
    media_file.emplace(target.mmproj_out, media.header, media.entries());
    report.bytes += media_file->file_bytes();
    write(media, *media_file, 0, media_bytes);
  }
  write(text, text_file, media_bytes, text_bytes);
  if (media_file) media_file->finish();
  text_file.finish();
  return report;
}

WriteReport quantize(const QuantizeOptions& options) {
  const Recipe& recipe = recipe_of("quantize", options.type);
  check_threads("quantize", options.threads);
  const SourceModel source(options.model, options.mmproj);
  check_output("quantize", options.out, source);
  Notes notes;
  const GgufPlan text =
      plan_text(source, recipe.file_type, [&](std::string name, const SourceTensor& tensor) {
        const bool embedding = tensor.expected.block == TensorBlock::kEmbedding;
        const FileType wanted = embedding ? recipe.embedding : recipe.matrices;
        return converted(std::move(name), possible_type(wanted, tensor.cols(), notes), tensor);
      });
  const FileType media = recipe.matrices == FileType::kF32 ? FileType::kF32 : FileType::kBF16;
  WriteReport report = write_gguf("quantize", source, text, media,
                                  {options.out, options.mmproj_out, options.threads, options.on_progress});
  report.notes = notes.texts();
  if (!has_tokenizer(source))
    report.notes.push_back(
        "no tokenizer.json beside the drafter, so the file has no vocabulary: other programs may want one");
  if (!source.note().empty()) report.notes.push_back(source.note());
  return report;
}

}  // namespace tessera
