// `tessera trace`: parts.json → probe → safetensors.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file_map.h"
#include "engine/probe.h"
#include "format/safetensors_writer.h"

namespace tessera {
namespace {

constexpr int64_t kMaxPartsBytes = int64_t{64} << 20;

nlohmann::json read_parts(const std::string& path) {
  const std::string text = read_text_file(path, kMaxPartsBytes);
  nlohmann::json parts;
  try {
    parts = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    throw_error(ErrorKind::kBadRequest, "{}: {}", path, e.what());
  }
  if (!parts.is_array() || parts.empty())
    throw_error(ErrorKind::kBadRequest,
                "{}: expected a list of parts, for example [[\"image\", \"a.png\", 280], \"Describe it.\"]",
                path);
  return parts;
}

void append_part(Sequence& sequence, const nlohmann::json& part, size_t index, const std::string& path) {
  const auto refuse = [&] {
    throw_error(ErrorKind::kBadRequest,
                "{}: part {} is {}, expected \"text\", [\"image\", file, budget], [\"audio\", file] or "
                "[\"ids\", [..]]",
                path, index,
                part.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 80));
  };
  if (part.is_string()) return sequence.append_text(part.get<std::string>());
  if (!part.is_array() || part.size() < 2 || !part[0].is_string()) refuse();
  const auto kind = part[0].get<std::string>();
  if (kind == "ids") {
    if (!part[1].is_array()) refuse();
    std::vector<int32_t> ids;
    for (const nlohmann::json& id : part[1]) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) refuse();
      ids.push_back(id.get<int32_t>());
    }
    return sequence.append_tokens(ids);
  }
  if ((kind != "image" && kind != "audio") || !part[1].is_string()) refuse();
  const auto file = (std::filesystem::path(path).parent_path() / part[1].get<std::string>()).string();
  const std::vector<uint8_t> bytes = read_binary_file(file, MediaLimits{}.max_file_bytes);
  if (kind == "audio") return sequence.append_media(Media::audio(bytes, file));
  if (part.size() > 2 && !part[2].is_number_integer()) refuse();
  sequence.append_media(Media::image(bytes, file, part.size() > 2 ? part[2].get<int>() : 280));
}

template <typename T>
std::span<const uint8_t> raw(const std::vector<T>& v) {
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof(T)};
}

}  // namespace

void trace(const Engine& engine, const TraceOptions& options) {
  EngineImpl& impl = engine.impl();
  const nlohmann::json parts = read_parts(options.parts_path);
  Sequence sequence(impl.config, impl.tokenizer);
  if (!(parts[0].is_array() && !parts[0].empty() && parts[0][0] == "ids"))
    sequence.append_tokens(std::vector{impl.config.bos});
  for (size_t i = 0; i < parts.size(); ++i) append_part(sequence, parts[i], i, options.parts_path);
  sequence.flush();

  const ProbeResult r = probe(impl, sequence, {options.greedy_tokens, options.last_only, 1});
  std::vector<float> hidden;
  for (const auto& layer : r.hidden) hidden.insert(hidden.end(), layer.begin(), layer.end());
  const int64_t d = impl.config.hidden, n = static_cast<int64_t>(r.input_ids.size());
  const auto rows_of = [](const std::vector<float>& v, int64_t cols) {
    return static_cast<int64_t>(v.size()) / cols;
  };

  std::vector<SafetensorsWriter::Entry> entries;
  std::vector<std::span<const uint8_t>> data;
  const auto add = [&](const char* name, FileType type, std::vector<int64_t> shape,
                       std::span<const uint8_t> bytes) {
    if (bytes.empty()) return;
    entries.push_back({name, type, std::move(shape)});
    data.push_back(bytes);
  };
  add("input_ids", FileType::kI32, {n}, raw(r.input_ids));
  add("token_types", FileType::kI32, {n}, raw(r.token_types));
  add("image_embeds", FileType::kF32, {rows_of(r.image_embeds, d), d}, raw(r.image_embeds));
  add("audio_embeds", FileType::kF32, {rows_of(r.audio_embeds, d), d}, raw(r.audio_embeds));
  add("hidden_last", FileType::kF32, {rows_of(hidden, d), d}, raw(hidden));
  add("logits", FileType::kF32, {rows_of(r.logits, impl.config.vocab), impl.config.vocab}, raw(r.logits));
  add("greedy", FileType::kI32, {static_cast<int64_t>(r.greedy.size())}, raw(r.greedy));
  SafetensorsWriter writer(options.out_path, entries);
  for (const auto bytes : data) writer.write(bytes);
  writer.finish();
}

}  // namespace tessera
