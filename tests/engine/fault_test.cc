// A backend that fails: the request that meets the fault ends with its error, the engine goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "backend/forwarding_backend.h"
#include "base/error.h"
#include "support/engines.h"
#include "support/message_of.h"

namespace tessera::test {
namespace {

constexpr const char* kWords = "GPU: a kernel or copy: an illegal memory access was encountered";

/// Counts products, reads and waits; the chosen one throws, once or from then on.
class FaultyBackend final : public ForwardingBackend {
 public:
  explicit FaultyBackend(std::unique_ptr<Backend> inner)
      : ForwardingBackend(*inner), owned_(std::move(inner)) {}

  std::atomic<int64_t> left{-1};  // calls until the fault; below 0: none
  std::atomic<bool> lost{false};  // every call after the fault fails, too

  void linear(Tensor y, Tensor x, Weight w) override {
    count();
    inner_.linear(y, x, w);
  }
  void candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count_wanted,
                  std::vector<Candidate>& out) override {
    count();
    inner_.candidates(logits, edits, count_wanted, out);
  }
  void sync() override {
    count();
    inner_.sync();
  }

 private:
  void count() {
    if (left < 0) return;
    if (left > 0 && --left > 0) return;
    if (!lost) left = -1;
    throw_error(ErrorKind::kDevice, "{}", kWords);
  }
  std::unique_ptr<Backend> owned_;
};

struct Faulty {
  FaultyBackend* backend;
  std::shared_ptr<Engine> engine;
};

Faulty faulty_engine(int parallel) {
  EngineOptions o;
  o.backend = "cpu";
  o.isa = "portable";
  o.threads = 1;
  o.context_tokens = 512;
  o.chunk_tokens = 16;
  o.parallel = parallel;
  auto backend = std::make_unique<FaultyBackend>(make_cpu_backend(1, "portable"));
  Faulty out{backend.get(), nullptr};
  out.engine = make_engine(std::make_unique<EngineImpl>(kTiny, o, std::move(backend)));
  return out;
}

std::vector<int32_t> answer(const std::shared_ptr<Engine>& engine, const std::string& prompt) {
  GenerateOptions o;
  o.ignore_end_tokens = true;
  o.max_tokens = 12;
  o.sampling.temperature = 0;
  Session s(engine);
  s.append_text(prompt);
  return s.generate(o).ids;
}

// Wherever in the prompt or in the answer the fault comes.
TEST(Faults, OneRequestFailsAndTheNextIsAnswered) {
  const std::string prompt = "<bos>Flight BA 117 to New York departs from gate 22 at 10:45.";
  const Faulty f = faulty_engine(1);
  const auto wanted = answer(f.engine, prompt);
  for (const int64_t at : {1, 2, 30, 100, 175, 300, 400}) {
    f.backend->left = at;
    EXPECT_EQ(message_of([&] { answer(f.engine, prompt); }, ErrorKind::kDevice), kWords) << "call " << at;
    EXPECT_LT(f.backend->left, 0) << "the fault did not come";
    EXPECT_EQ(answer(f.engine, prompt), wanted) << "after a fault at call " << at;
  }
}

TEST(Faults, ALostCardAnswersEveryRequestWithItsError) {
  const Faulty f = faulty_engine(2);
  f.backend->lost = true;
  f.backend->left = 50;
  std::vector<std::future<std::string>> all;
  for (int i = 0; i < 4; ++i)
    all.push_back(std::async(std::launch::async, [&] {
      return message_of([&] { answer(f.engine, "<bos>Gate 22"); }, ErrorKind::kDevice);
    }));
  for (auto& one : all) EXPECT_EQ(one.get(), kWords);
  EXPECT_EQ(f.engine->status().queued, 0);
  f.backend->left = -1;  // it is back
  EXPECT_EQ(answer(f.engine, "<bos>Gate 22").size(), 12U);
}

}  // namespace
}  // namespace tessera::test
