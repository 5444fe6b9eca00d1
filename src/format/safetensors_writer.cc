#include "format/safetensors_writer.h"

#include "base/error.h"
#include "format/json.h"

namespace tessera {

SafetensorsWriter::SafetensorsWriter(const std::string& path, const std::vector<Entry>& entries)
    : file_(path) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  for (const Entry& entry : entries) {
    int64_t bytes = type_bytes(entry.type);
    for (const int64_t size : entry.shape) bytes *= size;
    const int64_t end = expected_bytes_ + bytes;
    header[entry.name] = {
        {"dtype", to_string(entry.type)}, {"shape", entry.shape}, {"data_offsets", {expected_bytes_, end}}};
    expected_bytes_ = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data area starts at a multiple of 8

  uint8_t length[8];
  for (size_t i = 0; i < 8; ++i)
    length[i] = static_cast<uint8_t>(static_cast<uint64_t>(text.size()) >> (8 * i));
  file_.write(length, sizeof length);
  file_.write(text.data(), text.size());
}

void SafetensorsWriter::write(std::span<const uint8_t> bytes) {
  file_.write(bytes.data(), bytes.size());
  written_bytes_ += static_cast<int64_t>(bytes.size());
}

void SafetensorsWriter::finish() {
  TS_CHECK(written_bytes_ == expected_bytes_, "{}: {} data bytes written, {} declared", file_.path(),
           written_bytes_, expected_bytes_);
  file_.finish();
}

}  // namespace tessera
