#include "backend/cuda/recorder.h"

#include <algorithm>

namespace tessera::cuda {
namespace {

// Sessions and numbers of rows that take turns; one recording is about a megabyte.
constexpr size_t kMaxGraphs = 32;

}  // namespace

Recorder::~Recorder() {
  for (auto& [key, graph] : graphs_)
    if (graph.exec != nullptr) cudaGraphExecDestroy(graph.exec);
}

void Recorder::run(uint64_t key, const std::function<void()>& body) {
  const auto [it, is_new] = graphs_.try_emplace(key);
  it->second.used = ++clock_;
  if (is_new) {
    try {
      body();
    } catch (...) {
      graphs_.erase(it);  // it has not run once
      throw;
    }
    make_room();
    return;
  }
  if (it->second.exec == nullptr) it->second.exec = record(body);
  check(cudaGraphLaunch(it->second.exec, device_->stream()), "replaying a step");
}

cudaGraphExec_t Recorder::record(const std::function<void()>& body) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  try {
    check(cudaStreamBeginCapture(device_->stream(), cudaStreamCaptureModeThreadLocal), "recording a step");
    body();
  } catch (...) {
    cudaStreamEndCapture(device_->stream(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    (void)cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(device_->stream(), &graph), "recording a step");
  const cudaError_t status = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "recording a step");
  return exec;
}

void Recorder::make_room() {
  if (graphs_.size() <= kMaxGraphs) return;
  const auto oldest = std::min_element(graphs_.begin(), graphs_.end(), [](const auto& a, const auto& b) {
    return a.second.used < b.second.used;
  });
  if (oldest->second.exec != nullptr) cudaGraphExecDestroy(oldest->second.exec);
  graphs_.erase(oldest);
}

}  // namespace tessera::cuda
