#include "engine/source_files.h"

#include <filesystem>

#include "base/error.h"
#include "base/file_map.h"
#include "format/gguf.h"
#include "format/json.h"

namespace tessera {
namespace {

constexpr int64_t kMaxTemplateBytes = int64_t{16} << 20;

}  // namespace

bool has_tokenizer(const SourceModel& source) {
  if (!source.config().drafter) return true;
  return source.is_gguf() ? source.store().gguf()->has("tokenizer.ggml.tokens")
                          : file_exists(source.path() + "/tokenizer.json");
}

std::string chat_template_of(const SourceModel& source) {
  if (source.is_gguf()) return source.store().gguf()->text_or("tokenizer.chat_template", "");
  const std::string plain = source.path() + "/chat_template.jinja",
                    config = source.path() + "/tokenizer_config.json";
  if (file_exists(plain)) return read_text_file(plain, kMaxTemplateBytes);
  if (!file_exists(config)) return {};
  const FileJson json = read_json_file(config, kMaxTemplateBytes);
  const auto it = json.is_object() ? json.find("chat_template") : json.end();
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

std::string model_name_of(const SourceModel& source) {
  const std::filesystem::path path = std::filesystem::path(source.path()).lexically_normal();
  const std::string name = (path.has_filename() ? path.filename() : path.parent_path().filename()).string();
  return source.is_gguf() ? source.store().gguf()->text_or("general.name", name) : name;
}

}  // namespace tessera
