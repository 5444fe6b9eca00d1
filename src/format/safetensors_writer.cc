#include "format/safetensors_writer.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "format/json.h"

namespace tessera {
namespace {

void put(std::FILE* file, const void* data, size_t bytes, const std::string& path) {
  if (std::fwrite(data, 1, bytes, file) != bytes)
    throw_error(ErrorKind::kIo, "{}: cannot write {} bytes: {}; free some disk space", path, bytes,
                std::strerror(errno));
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<Entry> entries) : path_(path) {
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

  file_ = std::fopen(path.c_str(), "wb");
  if (file_ == nullptr) throw_error(ErrorKind::kIo, "{}: cannot create: {}", path, std::strerror(errno));
  uint8_t length[8];
  for (size_t i = 0; i < 8; ++i)
    length[i] = static_cast<uint8_t>(static_cast<uint64_t>(text.size()) >> (8 * i));
  try {
    put(file_, length, sizeof length, path_);
    put(file_, text.data(), text.size(), path_);
  } catch (...) {  // the destructor of an object whose constructor threw does not run
    std::fclose(file_);
    std::remove(path_.c_str());
    throw;
  }
}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);  // not finished: half a checkpoint under its final name would only mislead
  std::remove(path_.c_str());
}

void SafetensorsWriter::write(std::span<const uint8_t> bytes) {
  put(file_, bytes.data(), bytes.size(), path_);
  written_bytes_ += static_cast<int64_t>(bytes.size());
}

void SafetensorsWriter::finish() {
  TS_CHECK(written_bytes_ == expected_bytes_, "{}: {} data bytes written, {} declared", path_, written_bytes_,
           expected_bytes_);
  std::FILE* file = std::exchange(file_, nullptr);
  const bool flushed = std::fflush(file) == 0;
  const int reason = errno;
  if (std::fclose(file) != 0 || !flushed) {
    std::remove(path_.c_str());
    throw_error(ErrorKind::kIo, "{}: cannot write the end of the file: {}; free some disk space", path_,
                std::strerror(reason));
  }
}

}  // namespace tessera
