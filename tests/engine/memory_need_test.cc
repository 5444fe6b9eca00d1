// The arithmetic of what fits, with memory figures made up; and locking what is loaded.
#include "engine/memory_need.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "backend/host_memory.h"
#include "base/memory_lock.h"
#include "support/engines.h"
#include "support/expect_error.h"

namespace tessera::test {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

ModelInfo twelve_b() {
  ModelInfo info;
  info.hidden = 3840, info.intermediate = 15360, info.vocab = 262144;
  info.window = 1024, info.max_context = 262144;
  info.vision_parameters = 1;
  info.weight_bytes = 7000 * kMiB;
  info.default_kv = "bf16";
  for (int i = 0; i < 48; ++i)
    info.layers.push_back({i % 6 != 5, 16, i % 6 != 5 ? 8 : 1, i % 6 != 5 ? 256 : 512, i % 6 == 5, 0});
  return info;
}

TEST(MemoryNeed, TheWorkSpaceIsWhatAStepAllocates) {
  const auto engine = tiny_engine({"cpu", "portable"});
  const Scratch& s = *engine->impl().scratch;
  int64_t bytes = engine->impl().media.rows * engine->impl().media.cols * 4;
  for (const Tensor& t : {s.x, s.h, s.y, s.qkv, s.q, s.attn, s.ffn}) bytes += t.rows * t.cols * 4;
  for (const RopeTable& t : s.rope) bytes += (t.cos.rows * t.cos.cols + t.sin.rows * t.sin.cols) * 4;
  bytes += (s.hidden.cols + s.logits.cols) * 4;  // of one row: the others are not touched
  EXPECT_EQ(step_bytes(engine->info(), s.max_rows), bytes);
  EXPECT_GT(memory_need(engine->info()).work_bytes, bytes);
}

TEST(MemoryNeed, TheLargestContextIsTheLastThatFits) {
  const ModelInfo info = twelve_b();
  EngineOptions options;
  const MemoryNeed roomy = memory_need(info, options, int64_t{1} << 40);
  EXPECT_TRUE(roomy.fits());
  EXPECT_EQ(roomy.context_tokens, 8192);
  EXPECT_EQ(roomy.largest_context, 262144);
  for (const int64_t available : {9000 * kMiB, 10000 * kMiB}) {
    const int64_t largest = memory_need(info, options, available).largest_context;
    ASSERT_GT(largest, 1024);
    ASSERT_LT(largest, 262144);
    options.context_tokens = largest;
    EXPECT_TRUE(memory_need(info, options, available).fits()) << largest;
    options.context_tokens = largest + 256;
    EXPECT_FALSE(memory_need(info, options, available).fits()) << largest;
    options.context_tokens = 0;
  }
  EXPECT_EQ(memory_need(info, options, 6000 * kMiB).largest_context, 0);
  EXPECT_TRUE(memory_need(info, options, 0).fits()) << "unknown";
  EngineOptions narrow;
  narrow.kv = "q8_0";
  EXPECT_GT(memory_need(info, narrow, 9000 * kMiB).largest_context,
            memory_need(info, options, 9000 * kMiB).largest_context);
}

TEST(MemoryNeed, EachSlotHasAKvCache) {
  EngineOptions one, many;
  many.parallel = 5;
  const MemoryNeed need = memory_need(twelve_b(), one, 0), more = memory_need(twelve_b(), many, 0);
  EXPECT_EQ(more.kv_bytes, 5 * need.kv_bytes);
  EXPECT_GT(more.work_bytes, need.work_bytes);
  many.cache_ram_bytes = 1000 * kMiB;
  EXPECT_EQ(memory_need(twelve_b(), many, 0).work_bytes, more.work_bytes + 1000 * kMiB);
}

TEST(MemoryNeed, WhatDoesNotFitIsRefusedWithTheArithmetic) {
  const ModelInfo info = twelve_b();
  EngineOptions options;
  options.context_tokens = 200000;
  const MemoryNeed need = memory_need(info, options, 9000 * kMiB);
  expect_error(
      ErrorKind::kTooLarge,
      {"12b.gguf", "weights 7000 MiB", "KV cache " + std::to_string(need.kv_bytes / kMiB) + " MiB at 200000",
       "9000 MiB", "--ctx " + std::to_string(need.largest_context)},
      [&] { check_memory("12b.gguf", need); });
  expect_error(ErrorKind::kTooLarge, {"5000 MiB", "no --ctx fits", "quantize"},
               [&] { check_memory("12b.gguf", memory_need(info, options, 5000 * kMiB)); });
  check_memory("12b.gguf", memory_need(info, options, int64_t{1} << 40));
}

TEST(MemoryNeed, ALoadIsRefusedByTheSameArithmetic) {
  EngineOptions options;
  options.backend = "ref";
  options.chunk_tokens = 16384;
  const ModelInfo info = inspect_model(kTiny);
  const MemoryNeed need = memory_need(info, options, 1);
  EXPECT_EQ(need.weight_bytes, 4 * info.total_parameters) << "ref widens all weights";
  EXPECT_EQ(need.kv_bytes, info.kv_bytes(need.context_tokens, 16384, "f32"));
  EXPECT_FALSE(need.fits());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // under these mlock does nothing
/// VmLck of this process, bytes.
int64_t locked_bytes() {
  std::istringstream status(read_text_file("/proc/self/status", 1 << 16));
  std::string key, rest;
  for (int64_t kib = 0; status >> key;) {
    if (key == "VmLck:" && status >> kib) return kib * 1024;
    std::getline(status, rest);
  }
  return -1;
}

TEST(LockMemory, WeightsAndKvStayInMemory) {
  EngineOptions options;
  options.context_tokens = 64;
  options.lock_memory = true;
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const int64_t need = inspect_model(kTiny).weight_bytes + 8 * kMiB, before = locked_bytes();
  if (geteuid() != 0 && limit.rlim_cur != RLIM_INFINITY && static_cast<int64_t>(limit.rlim_cur) < need) {
    expect_error(ErrorKind::kTooLarge, {"RLIMIT_MEMLOCK", "--mlock"}, [&] { Engine::load(kTiny, options); });
    return;
  }
  const auto engine = Engine::load(kTiny, options);
  const int64_t weights = locked_bytes() - before;
  EXPECT_GE(weights, engine->impl().backend->weight_bytes());
  Session session(engine);
  session.append_text("a");
  GenerateOptions one;
  one.max_tokens = 1;
  session.generate(one);
  EXPECT_GE(locked_bytes() - before - weights, engine->info().kv_bytes(64) / 2);
}

/// Exit code 0 after a refusal, which stderr has; in a process of its own, without root's right to lock what
/// it likes.
[[noreturn]] void lock_more_than_allowed() {
  rlimit limit{};
  limit.rlim_cur = limit.rlim_max = 65536;
  setrlimit(RLIMIT_MEMLOCK, &limit);
  if (geteuid() == 0 && setuid(65534) != 0) std::_Exit(3);
  const auto memory = allocate_host(kMiB);
  try {
    lock_memory(memory.get(), kMiB);
  } catch (const Error& e) {
    std::fputs(e.what(), stderr);
    std::_Exit(e.kind() == ErrorKind::kTooLarge ? 0 : 2);
  }
  std::_Exit(1);
}

TEST(LockMemory, ARefusalSaysTheLimitAndHowToRaiseIt) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(lock_more_than_allowed(), testing::ExitedWithCode(0),
              "1024 more KiB.*RLIMIT_MEMLOCK.*64 KiB.*ulimit -l");
}
#endif

}  // namespace
}  // namespace tessera::test
