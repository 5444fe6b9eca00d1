#include "base/output_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace tessera {
namespace {

bool is_special(const std::string& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
         !std::filesystem::is_directory(status);
}

}  // namespace

OutputFile::OutputFile(const std::string& path)
    : path_(path), written_path_(is_special(path) ? path : path + ".part") {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw_error(ErrorKind::kIo, "{}: cannot create: it is a directory", path);
  file_ = std::fopen(written_path_.c_str(), "wb");
  if (file_ == nullptr)
    throw_error(ErrorKind::kIo, "{}: cannot create: {}", written_path_, std::strerror(errno));
}

OutputFile::~OutputFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  discard();
}

void OutputFile::discard() {
  if (written_path_ != path_) std::remove(written_path_.c_str());
}

void OutputFile::write(const void* data, size_t bytes) {
  if (std::fwrite(data, 1, bytes, file_) != bytes)
    throw_error(ErrorKind::kIo, "{}: cannot write {} bytes: {}; free some disk space", written_path_, bytes,
                std::strerror(errno));
}

void OutputFile::finish() {
  std::FILE* file = std::exchange(file_, nullptr);
  const bool flushed = std::fflush(file) == 0;
  int reason = errno;
  if (std::fclose(file) != 0 || !flushed) {
    discard();
    throw_error(ErrorKind::kIo, "{}: cannot write the end of the file: {}; free some disk space",
                written_path_, std::strerror(reason));
  }
  if (written_path_ != path_ && std::rename(written_path_.c_str(), path_.c_str()) != 0) {
    reason = errno;
    discard();
    throw_error(ErrorKind::kIo, "{}: cannot be renamed to {}: {}", written_path_, path_,
                std::strerror(reason));
  }
}

}  // namespace tessera
