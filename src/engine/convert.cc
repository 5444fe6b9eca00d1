// A model → the other containers, without loss where there is a form for it.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file_map.h"
#include "engine/exact_forms.h"
#include "engine/gguf_plan.h"
#include "engine/hf_files.h"
#include "engine/quantize_parts.h"
#include "engine/source_files.h"
#include "engine/synth_files.h"
#include "engine/write_files.h"
#include "format/blocks.h"
#include "format/safetensors_writer.h"
#include "text/tokenizer_export.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr int64_t kMaxJsonBytes = int64_t{16} << 20;

/// What a quantised matrix is called in notes.
std::string form_of(const SourceTensor& source) {
  return source.is_affine() ? fmt::format("affine {}-bit/{}", source.bits, source.group)
                            : to_string(source.tensor->type);
}

bool is_quantized(const SourceTensor& source) {
  return source.is_affine() || is_block_type(source.tensor->type);
}

void write_text(const std::string& path, const std::string& text) {
  OutputFile file(path);
  file.write(text.data(), text.size());
  file.finish();
}

// ---------------------------------------------------------------------------------------------- to gguf

OutputTensor gguf_matrix(std::string name, const SourceTensor& source, FileType otherwise, bool says_so,
                         Notes& notes) {
  if (!is_quantized(source)) return converted(std::move(name), narrowest_exact(source), source);
  if (!source.is_affine()) return converted(std::move(name), source.tensor->type, source);
  if (const auto exact = exact_block_type(source)) return exact_blocks(std::move(name), *exact, source);
  const FileType type = possible_type(otherwise, source.cols(), notes);
  notes.add(fmt::format("{} has no exact form in GGUF; written as {}{}", form_of(source), to_string(type),
                        says_so ? "" : " (--type chooses another)"));
  return converted(std::move(name), type, source);
}

// ---------------------------------------------------------------------------------------------- to hf and
// mlx

/// MLX's spelling of a canonical name (docs/spec/formats.md §4.1).
std::string mlx_name(std::string_view canonical) {
  constexpr std::string_view kModel = "model.", kText = "model.language_model.";
  if (canonical.starts_with(kText))
    return "language_model.model." + std::string(canonical.substr(kText.size()));
  return std::string(canonical.substr(canonical.starts_with(kModel) ? kModel.size() : 0));
}

/// A plain tensor, or a quantised one opened.
OutputTensor opened(std::string name, const SourceTensor& source, FileType otherwise, Notes& notes) {
  if (!is_quantized(source)) return converted(std::move(name), narrowest_exact(source), source);
  notes.add(fmt::format("{} has no exact form here; opened as {}{}", form_of(source), to_string(otherwise),
                        otherwise == FileType::kBF16 ? " (f32 keeps every bit)" : ""));
  return converted(std::move(name), otherwise, source);
}

struct MlxPlan {
  std::vector<OutputTensor> tensors;
  OrderedJson quantization;  // null: nothing is quantised
};

MlxPlan plan_mlx(const SourceModel& source, const ConvertOptions& options, FileType otherwise, Notes& notes) {
  MlxPlan plan;
  std::map<std::string, AffineForm> forms;
  std::vector<std::string> plain;
  std::map<std::pair<int, int>, int> votes;
  for (const SourceTensor& t : source.tensors()) {
    std::string name = source.config().drafter ? published_name(source.config(), t.expected.name)
                                               : mlx_name(t.expected.name);
    if (!t.is_matrix()) {
      plan.tensors.push_back(opened(std::move(name), t, otherwise, notes));
      continue;
    }
    const std::string module = name.substr(0, name.rfind('.'));
    auto form = exact_affine(t);
    const bool asked = options.bits != 0 && t.cols() % options.group == 0;
    if (options.bits != 0 && !asked)
      notes.add(
          fmt::format("rows of {} values are no whole groups of {}; not quantised", t.cols(), options.group));
    const bool anew = asked && !(form && form->bits == options.bits && form->group == options.group);
    if (anew) form = AffineForm{options.bits, options.group, FileType::kBF16};
    if (!form) {
      plan.tensors.push_back(opened(std::move(name), t, otherwise, notes));
      plain.push_back(module);
      continue;
    }
    for (OutputTensor& part : anew ? requantized_affine_tensors(module, form->bits, form->group, t)
                                   : exact_affine_tensors(module, *form, t))
      plan.tensors.push_back(std::move(part));
    forms[module] = *form;
    ++votes[{form->bits, form->group}];
  }
  if (forms.empty()) return plan;
  // The most common form is the default; the others are named.
  const auto most = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) {
                      return a.second < b.second;
                    })->first;
  plan.quantization = {{"group_size", most.second}, {"bits", most.first}, {"mode", "affine"}};
  for (const auto& [module, form] : forms)
    if (std::pair{form.bits, form.group} != most)
      plan.quantization[module] = {{"group_size", form.group}, {"bits", form.bits}};
  for (const std::string& module : plain) plan.quantization[module] = false;
  return plan;
}

/// config.json with the quantisation of what is written, not of what was read.
std::string config_text(const SourceModel& source, const OrderedJson& quantization) {
  OrderedJson config =
      OrderedJson::parse(source.is_gguf() ? config_json_of(source.config())
                                          : read_text_file(source.path() + "/config.json", kMaxJsonBytes));
  config.erase("quantization");
  config.erase("quantization_config");
  if (!quantization.is_null()) config["quantization"] = config["quantization_config"] = quantization;
  return config.dump(2) + "\n";
}

void write_other_files(const SourceModel& source, const std::string& out) {
  if (!source.is_gguf()) {
    for (const char* name :
         {"generation_config.json", "processor_config.json", "preprocessor_config.json", "tokenizer.json",
          "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}) {
      const std::string path = source.path() + "/" + name;
      if (file_exists(path)) write_text(out + "/" + name, read_text_file(path, int64_t{512} << 20));
    }
    return;
  }
  write_text(out + "/generation_config.json", generation_json_of(source.config()));
  if (source.config().drafter == std::nullopt)
    write_text(out + "/processor_config.json", synth_processor_json());
  if (has_tokenizer(source)) write_text(out + "/tokenizer.json", tokenizer_json(read_tokenizer_of(source)));
  const std::string chat = chat_template_of(source);
  if (!chat.empty()) write_text(out + "/chat_template.jinja", chat);
}

/// Creates it; refuses one that holds a model, which could be somebody's only copy.
void prepare_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw_error(ErrorKind::kIo, "{}: cannot create the directory: {}", directory, error.message());
  for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json"})
    if (file_exists(directory + "/" + name))
      throw_error(ErrorKind::kBadRequest,
                  "{}: already holds a model ({}); give a new directory or remove that one", directory, name);
}

WriteReport convert_to_directory(const SourceModel& source, const ConvertOptions& options,
                                 FileType otherwise) {
  Notes notes;
  MlxPlan plan;
  if (options.to == "mlx") {
    plan = plan_mlx(source, options, otherwise, notes);
  } else {
    for (const SourceTensor& t : source.tensors())
      plan.tensors.push_back(opened(published_name(source.config(), t.expected.name), t, otherwise, notes));
  }
  prepare_directory(options.out);
  WriteReport report;
  report.notes = notes.texts();
  count_tensors(plan.tensors, report);
  for (const TensorCount& count : report.dtypes) report.bytes += count.bytes;
  check_free_space(options.out + "/model.safetensors", report.bytes);

  std::vector<SafetensorsWriter::Entry> entries;
  for (const OutputTensor& t : plan.tensors) entries.push_back({t.name, t.type, t.shape});
  ThreadPool pool(options.threads);
  SafetensorsWriter file(options.out + "/model.safetensors", entries);
  stream_tensors(
      plan.tensors, pool, [&](std::span<const uint8_t> piece) { file.write(piece); }, options.on_progress);
  write_other_files(source, options.out);
  file.finish();
  write_text(options.out + "/config.json",
             config_text(source, plan.quantization));  // last: it makes a model of it
  return report;
}

void check_options(const ConvertOptions& o) {
  const auto refuse = [](const std::string& what) {
    throw_error(ErrorKind::kBadRequest, "convert: {}", what);
  };
  if (o.to != "hf" && o.to != "mlx" && o.to != "gguf")
    refuse(fmt::format("\"{}\" is no format; choose hf, mlx or gguf", o.to));
  if ((o.bits != 0 || o.group != 0) && o.to != "mlx") refuse("bits and group belong to mlx");
  if (o.bits != 0 && o.bits != 4 && o.bits != 8) refuse(fmt::format("{} bits, expected 4 or 8", o.bits));
  if (o.group != 0 && o.group != 32 && o.group != 64 && o.group != 128)
    refuse(fmt::format("groups of {}, expected 32, 64 or 128", o.group));
  if (o.group != 0 && o.bits == 0) refuse("a group without bits; give both");
  if (!o.mmproj_out.empty() && o.to != "gguf") refuse("an mmproj is written beside a GGUF only");
  if (o.to != "gguf" && !o.type.empty() && o.type != "bf16" && o.type != "f32")
    refuse(fmt::format("type \"{}\" is one of GGUF's; {} takes bf16 or f32", o.type, o.to));
}

}  // namespace

WriteReport convert(const ConvertOptions& given) {
  check_options(given);
  check_threads("convert", given.threads);
  ConvertOptions options = given;
  if (options.bits != 0 && options.group == 0) options.group = 64;
  const FileType otherwise = options.type.empty() ? FileType::kBF16 : matrix_type_of("convert", options.type);
  const SourceModel source(options.model, options.mmproj);
  check_output("convert", options.out, source);
  WriteReport report;
  if (options.to == "gguf") {
    Notes notes;
    GgufPlan text = plan_text(source, kMostlyBF16, [&](std::string name, const SourceTensor& tensor) {
      return gguf_matrix(std::move(name), tensor, otherwise, !options.type.empty(), notes);
    });
    report = write_gguf("convert", source, text, FileType::kBF16,
                        {options.out, options.mmproj_out, options.threads, options.on_progress});
    const auto texts = notes.texts();
    report.notes.insert(report.notes.begin(), texts.begin(), texts.end());
  } else {
    report = convert_to_directory(source, options, otherwise);
  }
  if (!source.note().empty()) report.notes.push_back(source.note());
  return report;
}

}  // namespace tessera
