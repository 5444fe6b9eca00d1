#include "backend/cuda/card_sums.h"

#include <algorithm>
#include <thread>

#include "backend/cuda/nccl.h"
#include "backend/cuda/peer_sum.h"
#include "base/error.h"

namespace tessera::cuda {
namespace {

std::vector<int> indices(const std::vector<Device*>& devices) {
  std::vector<int> out;
  for (const Device* d : devices) out.push_back(d->index());
  return out;
}

// Whether every card may use every other one's memory; then it does.
bool connect(const std::vector<Device*>& devices) {
  if (devices.size() > kPeerRanks) return false;
  for (const Device* a : devices)
    for (const Device* b : devices) {
      int can = 1;
      if (a != b) check(cudaDeviceCanAccessPeer(&can, a->index(), b->index()), "cudaDeviceCanAccessPeer");
      if (can == 0) return false;
    }
  for (const Device* a : devices)
    for (const Device* b : devices) {
      if (a == b) continue;
      a->use();
      const cudaError_t status = cudaDeviceEnablePeerAccess(b->index(), 0);
      if (status == cudaErrorPeerAccessAlreadyEnabled)
        (void)cudaGetLastError();
      else
        check(status, "cudaDeviceEnablePeerAccess");
    }
  return true;
}

class CardSums final : public RankSums {
 public:
  CardSums(std::vector<Device*> devices, bool peers)
      : devices_(std::move(devices)), nccl_(indices(devices_)), peers_(peers && connect(devices_)) {
    if (peers_) make_inboxes();
    warm_up();
  }

  void add_up(int rank, Tensor y) override {
    Device& device = *devices_[static_cast<size_t>(rank)];
    if (peers_ && has_peer_sum(y.rows, y.cols)) return peer_sum(device, args_[static_cast<size_t>(rank)], y);
    nccl_.add_up(rank, y.f32(), y.rows * y.cols, device.stream());
  }

  void add_up_residual_norm(int rank, Backend& backend, Tensor x, Tensor y, Weight w_post, float scale,
                            Tensor h, Weight w_next, float eps) override {
    if (!peers_ || !has_peer_sum(y.rows, y.cols))
      return RankSums::add_up_residual_norm(rank, backend, x, y, w_post, scale, h, w_next, eps);
    peer_sum_residual_norm(*devices_[static_cast<size_t>(rank)], args_[static_cast<size_t>(rank)], x, y,
                           static_cast<const float*>(w_post.data), scale, h,
                           static_cast<const float*>(w_next.data), eps);
  }

  void check() override {
    if (lost_)
      throw_error(ErrorKind::kDevice, "GPUs: a step failed, and the cards no longer sum up; restart");
    if (!failed_ || *static_cast<volatile int*>(failed_.get()) == 0) return;
    const int rank = *static_cast<volatile int*>(failed_.get()) - 1;
    throw_error(ErrorKind::kDevice,
                "GPU {}: did not answer the other cards within 10 s; restart, or use --gpus 1",
                devices_[static_cast<size_t>(rank)]->index());
  }

  void recover() override {
    lost_ = true;
    try {
      reset();
      lost_ = !peers_;        // recorded steps keep the cards' own sums, but would go on with NCCL's old ones
    } catch (const Error&) {  // NOLINT: check() says so
    }
  }

  std::string describe() const override { return nccl_.describe() + (peers_ ? " and direct sums" : ""); }

 private:
  static constexpr int64_t kTurnBytes = 256;  // turn[kPeerRows], then failed_here

  int64_t memory_bytes() const {
    return kTurnBytes + kInboxBytesPerRank * static_cast<int64_t>(devices_.size());
  }

  void make_inboxes() {
    failed_ = devices_[0]->allocate_pinned(sizeof(int));
    *static_cast<int*>(failed_.get()) = 0;
    for (Device* d : devices_) {
      memory_.push_back(d->allocate(memory_bytes()));
      d->synchronize();
    }
    for (size_t r = 0; r < devices_.size(); ++r) {
      PeerArgs a;
      auto* own = static_cast<uint8_t*>(memory_[r].get());
      a.turn = reinterpret_cast<unsigned int*>(own);
      a.failed_here = reinterpret_cast<int*>(own) + kPeerRows;
      a.failed = static_cast<int*>(failed_.get());
      a.inbox = reinterpret_cast<const uint4*>(own + kTurnBytes);
      a.rank = static_cast<int>(r);
      a.ranks = static_cast<int>(devices_.size());
      for (size_t to = 0; to < devices_.size(); ++to)
        a.to[to] = reinterpret_cast<uint4*>(static_cast<uint8_t*>(memory_[to].get()) + kTurnBytes);
      args_.push_back(a);
    }
  }

  // Ends what waits.
  void reset() {
    if (failed_) *static_cast<volatile int*>(failed_.get()) = 1;
    nccl_.rejoin();
    for (Device* d : devices_) d->synchronize();
    for (size_t r = 0; r < args_.size(); ++r) {
      cuda::check(
          cudaMemsetAsync(memory_[r].get(), 0, static_cast<size_t>(memory_bytes()), devices_[r]->stream()),
          "cudaMemsetAsync");
      devices_[r]->synchronize();
    }
    if (failed_) *static_cast<volatile int*>(failed_.get()) = 0;
  }

  // NCCL connects the cards in the first sum of a size, for which all must be there: now, since a rank that
  // fails before its first sum would let the others wait for good.
  void warm_up() {
    constexpr int64_t kCounts[] = {4096, int64_t{1} << 18, int64_t{1} << 23};
    std::vector<std::shared_ptr<void>> buffers;
    for (Device* d : devices_) buffers.push_back(d->allocate(kCounts[2] * 4));
    std::vector<std::exception_ptr> errors(devices_.size());
    std::vector<std::thread> threads;
    for (size_t r = 0; r < devices_.size(); ++r)
      threads.emplace_back([&, r] {
        try {
          for (const int64_t count : kCounts)
            nccl_.add_up(static_cast<int>(r), static_cast<float*>(buffers[r].get()), count,
                         devices_[r]->stream());
          devices_[r]->synchronize();
        } catch (...) {
          errors[r] = std::current_exception();
        }
      });
    for (std::thread& t : threads) t.join();
    for (const std::exception_ptr& e : errors)
      if (e) std::rethrow_exception(e);
  }

  std::vector<Device*> devices_;
  Nccl nccl_;
  bool peers_, lost_ = false;
  std::vector<std::shared_ptr<void>> memory_;  // turns and inbox of each card
  std::shared_ptr<void> failed_;
  std::vector<PeerArgs> args_;
};

}  // namespace

std::unique_ptr<RankSums> make_card_sums(std::vector<Device*> devices, bool peers) {
  return std::make_unique<CardSums>(std::move(devices), peers);
}

}  // namespace tessera::cuda
