// Faults of a card, and several cards as one. What needs two cards is skipped where there is one.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>

#include "backend/cuda/card_sums.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device.h"
#include "engine/stepper.h"
#include "support/distance.h"
#include "support/engines.h"
#include "support/message_of.h"

namespace tessera::test {
namespace {

int cards() {
  int count = 0;
  cuda::check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

std::shared_ptr<Engine> engine(int gpus, int gpu_layers = -1) {
  EngineOptions o;
  o.backend = "cuda";
  o.context_tokens = 1024;
  o.chunk_tokens = 64;
  o.gpus = gpus;
  o.gpu_layers = gpu_layers;
  return Engine::load(kTiny, o);
}

std::vector<int32_t> answer(const std::shared_ptr<Engine>& e) {
  GenerateOptions o;
  o.ignore_end_tokens = true;
  o.max_tokens = 24;
  o.sampling.temperature = 0;
  Session s(e);
  s.append_text("<bos>Flight BA 117 to New York departs from gate 22");
  return s.generate(o).ids;
}

std::vector<float> logits_after(const std::shared_ptr<Engine>& e, int count) {
  EngineImpl& impl = e->impl();
  Sequence s(impl.config, impl.tokenizer);
  std::vector<int32_t> ids = {2};
  for (int i = 1; i < count; ++i) ids.push_back(300 + i * 7919 % 700);
  s.append_tokens(ids);
  Stepper stepper(impl, s);
  stepper.prefill(0, count - 8);
  for (int p = count - 8; p < count; ++p) stepper.step(p, p + 1, 1);
  return stepper.logits();
}

TEST(GpuFaults, AFullCardSaysHowFull) {
  cuda::Device device(0);
  const std::string words =
      message_of([&] { device.allocate(2 * device.total_bytes(), false); }, ErrorKind::kDevice);
  EXPECT_NE(words.find("MiB wanted"), std::string::npos) << words;
  EXPECT_NO_THROW(device.allocate(1 << 20));
  EXPECT_NO_THROW(device.synchronize());
}

// Every checked call of a request may be the one that fails, in steps that are enqueued, recorded or
// replayed: this request gets the error, the next one its answer.
void expect_recovery(int gpus) {
  const auto e = engine(gpus);
  const auto wanted = answer(e);
  for (const cudaError_t status : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure})
    for (const int64_t at : {1, 2, 3, 20, 60, 110}) {
      cuda::fail_call(at, status);
      const std::string words = message_of([&] { answer(e); }, ErrorKind::kDevice);
      EXPECT_NE(words.find(cudaGetErrorName(status)), std::string::npos) << words;
      EXPECT_EQ(answer(e), wanted) << cudaGetErrorName(status) << " at call " << at;
    }
}

TEST(GpuFaults, TheNextRequestIsAnswered) {
  expect_recovery(1);
}

TEST(GpuFaults, MoreCardsThanThereAre) {
  EngineOptions o;
  o.backend = "cuda";
  o.gpus = 4;
  o.device = cards() - 1;
  const std::string words = message_of([&] { Engine::load(kTiny, o); }, ErrorKind::kDevice);
  EXPECT_NE(words.find("the driver finds"), std::string::npos) << words;
}

// bfloat16 on the card, float32 beside it: equal but for rounding, and KV of both sides in the right place.
TEST(GpuLayers, LayersBesideTheCardOnlyRound) {
  const auto whole = logits_after(engine(1), 200);
  for (const int layers : {1, 6, 11})
    EXPECT_LE(distance(logits_after(engine(1, layers), 200), whole), 0.05) << layers << " layers on the card";
  EXPECT_EQ(answer(engine(1, 6)).size(), 24U);
}

// What the plan says is at least what a load and an answer take.
TEST(GpuPlan, CoversWhatIsTaken) {
  const int64_t before = cuda_card(0).free_bytes;
  const auto e = engine(1);
  answer(e);
  const int64_t taken = before - cuda_card(0).free_bytes;
  const std::string& plan = e->impl().card_plan;
  const size_t at = plan.find("= ");
  ASSERT_NE(at, std::string::npos) << plan;
  EXPECT_LE(taken >> 20, std::stoll(plan.substr(at + 2))) << plan;
}

class GpuCards : public testing::Test {
 protected:
  void SetUp() override {
    if (cards() < 2) GTEST_SKIP() << "one card";
  }
};

// Both ways of adding up give rank 0's share + rank 1's, and the norm of that.
TEST_F(GpuCards, SumsAreThoseOfTheHost) {
  for (const bool peers : {true, false}) {
    std::vector<cuda::Card> all;
    std::vector<cuda::Device*> devices;
    for (int i = 0; i < 2; ++i) {
      all.push_back(cuda::make_card({.device = i}));
      devices.push_back(all.back().device);
    }
    const auto sums = cuda::make_card_sums(devices, peers);
    for (const int64_t cols : {64, 3840, 4096, 6144})
      for (const int64_t rows : {1, 3, 8, 9, 300}) {
        std::mt19937 random(static_cast<uint32_t>(rows * cols));
        std::normal_distribution<float> normal;
        const auto count = static_cast<size_t>(rows * cols);
        std::vector<std::vector<float>> share(2, std::vector<float>(count)), found = share;
        std::vector<float> wanted(count);
        for (auto& s : share)
          for (float& v : s) v = normal(random);
        for (size_t i = 0; i < count; ++i) wanted[i] = share[0][i] + share[1][i];
        std::vector<std::thread> threads;
        for (int r = 0; r < 2; ++r)
          threads.emplace_back([&, r] {
            Backend& be = *all[static_cast<size_t>(r)].backend;
            const auto memory = be.allocate(rows * cols * 4);
            const Tensor y{memory.get(), rows, cols, DType::kF32};
            for (int again = 0; again < 3; ++again) {
              be.write(y.data, share[static_cast<size_t>(r)].data(), rows * cols * 4);
              sums->add_up(r, y);
              be.read(found[static_cast<size_t>(r)].data(), y);
            }
          });
        for (auto& t : threads) t.join();
        EXPECT_EQ(found[0], wanted) << rows << " × " << cols << (peers ? ", direct" : ", NCCL");
        EXPECT_EQ(found[1], wanted) << rows << " × " << cols << (peers ? ", direct" : ", NCCL");
      }
    EXPECT_NO_THROW(sums->check());
  }
}

TEST_F(GpuCards, TwoOnlyRound) {
  const auto one = engine(1), two = engine(2);
  EXPECT_NE(two->backend().find("2 ×"), std::string::npos) << two->backend();
  for (const int count : {20, 200, 700})
    EXPECT_LE(distance(logits_after(two, count), logits_after(one, count)), 0.05) << count << " tokens";
}

TEST_F(GpuCards, AnswersRepeat) {
  const auto two = engine(2);
  const auto first = answer(two);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(answer(two), first) << "run " << i;
}

TEST_F(GpuCards, TheNextRequestIsAnswered) {
  expect_recovery(2);
}

}  // namespace
}  // namespace tessera::test
