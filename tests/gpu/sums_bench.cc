// What a sum over the cards costs behind a decode step's product: one product's share [rows, 3840] added up
// and normed, 96 times in one recording, as a token has them. Prints microseconds for each.
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "backend/cuda/card_sums.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/recorder.h"
#include "base/gang.h"

namespace tessera {
namespace {

constexpr int64_t kCols = 3840;
constexpr int kSums = 96, kRounds = 50;

double microseconds(int gpus, bool peers, int64_t rows) {
  std::vector<cuda::Card> cards;
  std::vector<cuda::Device*> devices;
  for (int i = 0; i < gpus; ++i) {
    cards.push_back(cuda::make_card({.device = i}));
    devices.push_back(cards.back().device);
  }
  const auto sums = gpus > 1 ? cuda::make_card_sums(devices, peers) : nullptr;
  struct Rank {
    std::shared_ptr<void> x, y, h;
    Weight w;
    std::unique_ptr<cuda::Recorder> recorder;
  };
  std::vector<Rank> ranks(cards.size());
  const std::vector<float> ones(kCols, 1.0F);
  for (size_t r = 0; r < cards.size(); ++r) {
    Backend& be = *cards[r].backend;
    ranks[r].x = be.allocate(rows * kCols * 4);
    ranks[r].y = be.allocate(rows * kCols * 4);
    ranks[r].h = be.allocate(rows * kCols * 2);
    ranks[r].w =
        be.pack_plain({.cols = kCols, .parts = {{.rows = 1, .read = [&](int64_t, int64_t, float* out) {
                                                   std::copy(ones.begin(), ones.end(), out);
                                                 }}}});
    ranks[r].recorder = std::make_unique<cuda::Recorder>(*devices[r]);
  }
  Gang gang(gpus);
  const auto round = [&] {
    gang.run([&](int r) {
      Rank& own = ranks[static_cast<size_t>(r)];
      Backend& be = *cards[static_cast<size_t>(r)].backend;
      own.recorder->run(1, [&] {
        const Tensor x{own.x.get(), rows, kCols, DType::kF32}, y{own.y.get(), rows, kCols, DType::kF32},
            h{own.h.get(), rows, kCols, DType::kBF16};
        for (int i = 0; i < kSums; ++i)
          if (sums)
            sums->add_up_residual_norm(r, be, x, y, own.w, 1, h, own.w, 1e-6F);
          else
            be.residual_norm(x, y, own.w, 1, h, own.w, 1e-6F);
      });
    });
  };
  const auto wait = [&] { gang.run([&](int r) { cards[static_cast<size_t>(r)].backend->sync(); }); };
  for (int i = 0; i < 4; ++i) round();
  wait();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) round();
  wait();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  if (sums) sums->check();
  return took.count() / (kRounds * kSums);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  const int gpus = argc > 1 ? std::atoi(argv[1]) : 2;
  std::printf("rows  norm alone  %d cards direct  %d cards NCCL\n", gpus, gpus);
  for (const int64_t rows : {1, 4, 8})
    std::printf("%4d %11.2f %15.2f %13.2f\n", static_cast<int>(rows), tessera::microseconds(1, true, rows),
                tessera::microseconds(gpus, true, rows), tessera::microseconds(gpus, false, rows));
}
