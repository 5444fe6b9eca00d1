#include "engine/write_files.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"

namespace tessera {

namespace fs = std::filesystem;

void check_threads(const char* command, int threads) {
  if (threads < 0 || threads > 1024)
    throw_error(ErrorKind::kBadRequest, "{}: {} threads, expected 0 (one per core) to 1024", command,
                threads);
}

void check_output(const char* command, const std::string& out, const SourceModel& source) {
  if (out.empty()) throw_error(ErrorKind::kBadRequest, "{}: no output file given", command);
  for (const SourceTensor& tensor : source.tensors()) {
    std::error_code ignored;
    if (fs::equivalent(out, tensor.tensor->file, ignored))
      throw_error(ErrorKind::kBadRequest, "{}: {} is a file of the model that is read; give another name",
                  command, out);
  }
}

void check_free_space(const std::string& out, int64_t bytes) {
  std::error_code error;
  const fs::path parent = fs::absolute(out, error).parent_path();
  const auto space = fs::space(parent, error);
  if (!error && space.available < static_cast<uint64_t>(bytes) && !fs::is_other(out, error))
    throw_error(ErrorKind::kTooLarge, "{}: the weights take {} bytes, the disk has {} free", out, bytes,
                space.available);
}

void count_tensors(const std::vector<OutputTensor>& tensors, WriteReport& report) {
  for (const OutputTensor& tensor : tensors) {
    const char* dtype = to_string(tensor.type);
    auto it = std::find_if(report.dtypes.begin(), report.dtypes.end(),
                           [&](const TensorCount& c) { return c.dtype == dtype; });
    if (it == report.dtypes.end()) it = report.dtypes.insert(it, TensorCount{dtype, 0, 0, 0});
    it->tensors += 1;
    it->parameters += tensor.rows * tensor.cols;
    it->bytes += tensor.rows * tensor.row_bytes;
  }
  std::stable_sort(report.dtypes.begin(), report.dtypes.end(),
                   [](const TensorCount& a, const TensorCount& b) { return a.bytes > b.bytes; });
}

std::vector<std::string> Notes::texts() const {
  std::vector<std::string> out;
  for (const auto& [sentence, count] : count_)
    out.push_back(fmt::format("{} {}: {}", count, count == 1 ? "matrix" : "matrices", sentence));
  return out;
}

}  // namespace tessera
