#include "backend/cuda/nccl.h"

#include "base/error.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

#include "backend/cuda/library.h"

namespace tessera::cuda {
namespace {

constexpr const char* kNames[] = {"libnccl.so.2", "libnccl.so", "/usr/local/cuda/lib64/libnccl.so.2"};

}  // namespace

struct Nccl::State {
  Library library;
  std::vector<int> devices;
  std::vector<ncclComm_t> members;

  decltype(&ncclGetVersion) version = nullptr;
  decltype(&ncclGetErrorString) words = nullptr;
  decltype(&ncclCommInitAll) init = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclAllReduce) all_reduce = nullptr;

  bool load() {
    return library.find(version, "ncclGetVersion") && library.find(words, "ncclGetErrorString") &&
           library.find(init, "ncclCommInitAll") && library.find(destroy, "ncclCommDestroy") &&
           library.find(abort, "ncclCommAbort") && library.find(all_reduce, "ncclAllReduce");
  }
  void check(ncclResult_t result, const char* what) const {
    if (result == ncclSuccess) return;
    throw_error(ErrorKind::kDevice, "GPUs: NCCL: {}: {}; NCCL_DEBUG=INFO says more, or use --gpus 1", what,
                words(result));
  }
  void join() {
    members.assign(devices.size(), nullptr);
    check(init(members.data(), static_cast<int>(devices.size()), devices.data()), "joining the cards");
  }
};

Nccl::Nccl(const std::vector<int>& devices) : state_(std::make_unique<State>()) {
  if (!state_->library.open(kNames))
    throw_error(ErrorKind::kDevice,
                "GPUs: {} was not found in LD_LIBRARY_PATH, the system's folders or /usr/local/cuda/lib64; "
                "several cards need NCCL 2: install it, name its folder in LD_LIBRARY_PATH (Python's "
                "nvidia-nccl package has it in nvidia/nccl/lib), or use --gpus 1",
                kNames[0]);
  if (!state_->load())
    throw_error(ErrorKind::kDevice, "GPUs: {} is too old; install NCCL {}.{} or later, or use --gpus 1",
                kNames[0], NCCL_MAJOR, NCCL_MINOR);
  state_->devices = devices;
  state_->join();
}

Nccl::~Nccl() {
  for (ncclComm_t member : state_->members)
    if (member) state_->destroy(member);
}

void Nccl::add_up(int rank, float* y, int64_t count, cudaStream_t stream) {
  state_->check(state_->all_reduce(y, y, static_cast<size_t>(count), ncclFloat32, ncclSum,
                                   state_->members[static_cast<size_t>(rank)], stream),
                "a sum");
}

void Nccl::rejoin() {
  for (ncclComm_t member : state_->members)
    if (member) state_->abort(member);
  state_->join();
}

std::string Nccl::describe() const {
  int v = 0;
  state_->version(&v);
  return fmt::format("NCCL {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

}  // namespace tessera::cuda

#else  // built without its header

namespace tessera::cuda {

struct Nccl::State {};
Nccl::Nccl(const std::vector<int>&) {
  throw_error(
      ErrorKind::kDevice,
      "GPUs: this build has no NCCL, which several cards need: build where nccl.h is, or use --gpus 1");
}
Nccl::~Nccl() = default;
void Nccl::add_up(int, float*, int64_t, cudaStream_t) {}
void Nccl::rejoin() {}
std::string Nccl::describe() const {
  return {};
}

}  // namespace tessera::cuda

#endif
