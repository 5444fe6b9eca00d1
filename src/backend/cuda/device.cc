#include "backend/cuda/device.h"

#include <atomic>
#include <map>
#include <mutex>

#include "base/error.h"

namespace tessera::cuda {

namespace {

std::atomic<int64_t> calls_left{0};  // of fail_call; 0: none fails
std::atomic<cudaError_t> failure{cudaSuccess};

// What a person can do about it.
const char* remedy(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "the card is full: use a smaller --ctx, --parallel or --gpu-layers";
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorUnsupportedPtxVersion:
      return "update the NVIDIA driver, or use --backend cpu";
    case cudaErrorNoKernelImageForDevice:
      return "this build has no kernels for the card: build with its CMAKE_CUDA_ARCHITECTURES, or use "
             "--backend cpu";
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoDevice:
      return "is another program using the card alone? nvidia-smi says so; or use --backend cpu";
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorNvlinkUncorrectable:
      return "the card's memory or link has an error (nvidia-smi -q, dmesg); restart on another --device";
    default:
      return "what the card held is lost: restart, or use --backend cpu";
  }
}

// Asked once a process: they do not change, and a load opens a card to plan and to compute.
const cudaDeviceProp& properties(int index) {
  static std::mutex mutex;
  static std::map<int, cudaDeviceProp> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(index);
  if (found != known.end()) return found->second;
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, index), "cudaGetDeviceProperties");
  return known.emplace(index, p).first->second;
}

}  // namespace

void fail_call(int64_t calls, cudaError_t status) {
  failure = status;
  calls_left = calls;
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess && calls_left.load(std::memory_order_relaxed) > 0 && --calls_left == 0)
    status = failure;
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // a sticky error stays, any other is cleared
  throw_error(ErrorKind::kDevice, "GPU: {}: {} ({}); {}", what, cudaGetErrorString(status),
              cudaGetErrorName(status), remedy(status));
}

std::string why_no_gpu() {
  int driver = 0, runtime = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver / 1000 < runtime / 1000)
    return fmt::format("the driver supports CUDA {}.{}, this build needs {}.{}; update the driver",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    (void)cudaGetLastError();
    return cudaGetErrorString(status);
  }
  return count > 0 ? "" : "the driver finds no card";
}

Device::Device(int index) : index_(index) {
  if (const std::string why = why_no_gpu(); !why.empty())
    throw_error(ErrorKind::kDevice, "GPU: {}; use --backend cpu", why);
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (index >= count)
    throw_error(ErrorKind::kDevice,
                "GPU: card {} was asked for, the driver finds {} (0 … {}); give another --device", index,
                count, count - 1);
  check(cudaSetDevice(index), "cudaSetDevice");
  const cudaDeviceProp& p = properties(index);
  multiprocessors_ = p.multiProcessorCount;
  capability_ = p.major * 10 + p.minor;
  shared_limit_ = static_cast<int>(p.sharedMemPerBlockOptin);
  name_ = p.name;
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}

Device::~Device() {
  if (stream_) cudaStreamDestroy(stream_);
}

// Which card is current is a thread's own; setting it again costs as much as asking. Where it fails, so does
// the call that follows.
void Device::use() const noexcept {
  (void)cudaSetDevice(index_);
}

int64_t Device::free_bytes() const {
  use();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<int64_t>(free);
}

int64_t Device::total_bytes() const {
  use();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<int64_t>(total);
}

std::shared_ptr<void> Device::allocate(int64_t bytes, bool zeroed) {
  use();
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw_error(ErrorKind::kDevice,
                "GPU {} ({}): {} MiB wanted, {} of {} MiB free; use a smaller --ctx or --gpu-layers", index_,
                name_, bytes >> 20, free_bytes() >> 20, total_bytes() >> 20);
  }
  check(status, "cudaMalloc");
  std::shared_ptr<void> memory(p, [](void* q) { cudaFree(q); });
  if (zeroed) check(cudaMemsetAsync(p, 0, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync");
  return memory;
}

std::shared_ptr<void> Device::allocate_pinned(int64_t bytes) {
  use();
  void* p = nullptr;
  check(cudaMallocHost(&p, static_cast<size_t>(bytes)), "cudaMallocHost");
  return {p, [](void* q) { cudaFreeHost(q); }};
}

void Device::synchronize() {
  check(cudaStreamSynchronize(stream_), "a kernel or copy");
}

}  // namespace tessera::cuda
