// The prefix cache: what comes out is what went in, budgets hold, and no damaged file is believed. Then
// through the engine: turns, sessions and restarts.
#include "engine/prefix_cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "base/file_map.h"
#include "engine/scheduler.h"
#include "support/engines.h"
#include "support/temp_dir.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using Keys = std::vector<uint64_t>;

constexpr int64_t kWindow = 40, kFull = 64, kSliding = 96;

PrefixCache::Options options(int64_t ram, const std::string& directory = "", int64_t disk = 1 << 20) {
  return {ram, directory, disk, 7, kFull, kSliding, kWindow};
}

// A block's bytes as a function of all keys up to it: what K and V are.
KvBytes bytes_of(const Keys& keys, int64_t index, bool sliding) {
  uint64_t h = sliding ? 3 : 5;
  const auto end = std::min<size_t>(keys.size(), static_cast<size_t>(index + 1) * 16);
  KvBytes out(static_cast<size_t>(sliding ? kSliding : kFull));
  for (size_t i = 0; i < end; ++i) {
    h = (h ^ keys[i]) * 0x9E3779B97F4A7C15U;
    if (i >= static_cast<size_t>(index) * 16) {
      const size_t width = out.size() / 16;
      std::memset(out.data() + (i % 16) * width, static_cast<int>(h >> 56), width);
    }
  }
  return out;
}

void keep(PrefixCache& cache, const Keys& keys, int64_t sliding_begin) {
  cache.keep(keys, sliding_begin, [&](int64_t index, bool sliding, uint8_t* to) {
    const KvBytes bytes = bytes_of(keys, index, sliding);
    std::copy(bytes.begin(), bytes.end(), to);
  });
}

int64_t find(PrefixCache& cache, const Keys& keys) {
  return cache.find(keys, [&](int64_t p) { return std::min(p, static_cast<int64_t>(keys.size()) - 1); });
}

/// Loads what find() promises and checks every byte that a row at its end sees. Returns its length, -1 when a
/// file was damaged.
int64_t load(PrefixCache& cache, const Keys& keys) {
  const int64_t end = find(cache, keys);
  if (end == 0) return 0;
  std::set<int64_t> full, sliding;
  bool right = true;
  const bool whole = cache.load(keys, end, [&](int64_t index, bool of_sliding, const uint8_t* from) {
    (of_sliding ? sliding : full).insert(index);
    const KvBytes want = bytes_of(keys, index, of_sliding);
    const size_t width = want.size() / 16;
    const auto rows = static_cast<size_t>(std::min<int64_t>(16, end - index * 16));
    right = right && std::memcmp(from, want.data(), rows * width) == 0;
  });
  EXPECT_TRUE(right) << "wrong bytes up to " << end;
  if (!whole) return -1;
  for (int64_t p = 0; p < end; ++p) EXPECT_TRUE(full.contains(p / 16));
  for (int64_t p = std::max<int64_t>(0, end - kWindow + 1); p < end; ++p)
    EXPECT_TRUE(sliding.contains(p / 16));
  return end;
}

Keys some_keys(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  Keys keys(count);
  for (uint64_t& k : keys) k = random() % 3;
  return keys;
}

TEST(PrefixCache, GivesBackTheLongestPrefix) {
  PrefixCache cache(options(1 << 20));
  Keys keys = some_keys(1, 150);
  EXPECT_EQ(load(cache, keys), 0);
  keep(cache, keys, 0);
  EXPECT_EQ(load(cache, keys), 149);
  Keys longer = keys;
  longer.insert(longer.end(), {9, 9, 9});
  EXPECT_EQ(load(cache, longer), 150);
  longer[101] = 8;
  EXPECT_EQ(load(cache, longer), 101);
  longer[0] = 8;
  EXPECT_EQ(load(cache, longer), 0);
}

// Sliding layers are here from position 96 on: a sequence can go on where a window fits behind that.
TEST(PrefixCache, GoesOnOnlyWhereTheWindowIsThere) {
  PrefixCache cache(options(1 << 20));
  const Keys keys = some_keys(2, 160);
  keep(cache, keys, 96);
  for (size_t cut = 1; cut <= 160; ++cut) {
    Keys other(keys.begin(), keys.begin() + static_cast<int64_t>(cut));
    other.push_back(9);
    const int64_t want = static_cast<int64_t>(cut) - kWindow + 1 >= 96 ? static_cast<int64_t>(cut) : 0;
    EXPECT_EQ(load(cache, other), want) << cut;
  }
}

// Random conversations that branch, grow and are cut, under budgets: never a wrong byte, never over.
TEST(PrefixCache, RandomConversationsUnderABudget) {
  const TempDir dir;
  for (const bool disk : {false, true}) {
    PrefixCache cache(options(6000, disk ? dir.path() : "", 20000));
    std::mt19937 random(3);
    std::vector<Keys> conversations = {some_keys(3, 20)};
    int hits = 0;
    for (int i = 0; i < 1500; ++i) {
      Keys keys = conversations[random() % conversations.size()];
      keys.resize(1 + random() % keys.size());
      for (size_t n = random() % 40; n > 0; --n) keys.push_back(random() % 4);
      if (keys.size() > 300) keys.resize(300);
      hits += load(cache, keys) > 0 ? 1 : 0;
      const auto turn = static_cast<int64_t>(random() % keys.size());
      keep(cache, keys, std::max<int64_t>(0, turn - kWindow) / 16 * 16);
      EXPECT_LE(cache.ram_bytes(), 6000);
      if (disk) {
        EXPECT_LE(cache.disk_bytes(), 20000);
      }
      if (conversations.size() < 12)
        conversations.push_back(keys);
      else
        conversations[random() % conversations.size()] = keys;
    }
    EXPECT_GT(hits, 300);
  }
}

TEST(PrefixCache, SurvivesARestart) {
  const TempDir dir;
  const Keys a = some_keys(4, 100), b = some_keys(5, 77);
  {
    PrefixCache cache(options(0, dir.path()));
    keep(cache, a, 0);
    keep(cache, b, 0);
    EXPECT_EQ(cache.ram_bytes(), 0);
    EXPECT_EQ(load(cache, b), 76);
  }
  PrefixCache again(options(1 << 20, dir.path()));
  EXPECT_EQ(load(again, a), 99);
  EXPECT_EQ(load(again, b), 76);
  PrefixCache::Options other = options(1 << 20, dir.path());
  other.model_key = 8;
  PrefixCache foreign(other);
  EXPECT_EQ(load(foreign, a), 0);
}

fs::path folder_of(const TempDir& dir) {
  return fs::directory_iterator(dir.path())->path();
}

// As a kill at any byte or a bad disk would leave it: each file cut at every length, and each byte changed.
TEST(PrefixCache, DamagedFilesAreNotBelieved) {
  const TempDir dir;
  const Keys keys = some_keys(6, 40);
  const auto fill = [&] {
    fs::remove_all(dir.path());
    PrefixCache cache(options(0, dir.path()));
    keep(cache, keys, 0);
  };
  fill();
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder_of(dir))) files.push_back(entry.path());
  ASSERT_EQ(files.size(), 6U);  // three blocks of two kinds
  std::vector<std::vector<uint8_t>> whole;
  for (const fs::path& file : files) whole.push_back(read_binary_file(file, 1 << 20));
  // Truncating and rewriting a file waits for the disk on ext4.
  const auto write_anew = [](const fs::path& file, const std::vector<uint8_t>& bytes) {
    fs::remove(file);
    write_file(file, bytes);
  };
  const auto restore = [&] {
    for (const auto& entry : fs::directory_iterator(folder_of(dir))) fs::remove(entry.path());
    for (size_t i = 0; i < files.size(); ++i) write_anew(files[i], whole[i]);
  };
  for (size_t f = 0; f < files.size(); f += 3)
    for (size_t at = 0; at < whole[f].size(); ++at)
      for (const bool cut : {true, false}) {
        restore();
        std::vector<uint8_t> damaged = whole[f];
        if (cut)
          damaged.resize(at);
        else
          damaged[at] ^= static_cast<uint8_t>(1 + at % 255);
        write_anew(files[f], damaged);
        PrefixCache cache(options(1 << 20, dir.path()));
        const int64_t first = load(cache, keys);  // checks every byte that it gets
        EXPECT_LT(first, 39) << files[f] << " at " << at;
        EXPECT_GE(load(cache, keys), 0);
        keep(cache, keys, 0);
        EXPECT_EQ(load(cache, keys), 39);
      }
}

TEST(PrefixCache, ForeignFilesAndLeftoversGo) {
  const TempDir dir;
  { const PrefixCache cache(options(0, dir.path())); }
  const fs::path folder = folder_of(dir);
  for (const char* name : {"0000000000000001-full.kv", "0000000000000001-full.kv.part", "notes"})
    std::ofstream(folder / name) << "something else";
  { const PrefixCache cache(options(0, dir.path())); }
  EXPECT_TRUE(fs::is_empty(folder));
}

// The kernel's limit on the size of a file fails a write as a full disk does: part of it is there, then an
// error.
class FullDisk {
 public:
  FullDisk() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{200, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(PrefixCache, AFullDiskCostsWhatWasOnItAndNothingElse) {
  const Keys keys = some_keys(6, 40);
  for (const int64_t ram : {0, 1 << 20}) {
    const TempDir dir;  // outlives the cache, which still writes
    PrefixCache cache(options(ram, dir.path()));
    {
      const FullDisk full;
      keep(cache, keys, 0);
      for (int i = 0; i < 1000 && cache.disk_bytes() > 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        find(cache, keys);  // where failed writes are noticed
      }
      EXPECT_EQ(cache.disk_bytes(), 0);
      EXPECT_TRUE(fs::is_empty(folder_of(dir)));
      EXPECT_EQ(load(cache, keys), ram > 0 ? 39 : 0);
    }
    keep(cache, some_keys(9, 40), 0);  // there is room again
    EXPECT_EQ(load(cache, some_keys(9, 40)), 39);
    EXPECT_GT(cache.disk_bytes(), 0);
  }
}

TEST(PrefixCache, AFolderThatCannotBeMadeIsAnErrorOfTheLoad) {
  const TempDir dir;
  EngineOptions o;
  o.backend = "cpu";
  o.cache_dir = dir.write("file", "x") + "/cache";
  try {
    Engine::load(kTiny, o);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_NE(std::string(error.what()).find(o.cache_dir), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("name another folder"), std::string::npos) << error.what();
  }
}

// ------------------------------------------------------------------------------------------------ engine

std::shared_ptr<Engine> load_engine(int64_t ram, const std::string& dir, int parallel = 1) {
  EngineOptions o = cpu_options(parallel, 64, 640);
  o.cache_ram_bytes = ram;
  o.cache_dir = dir;
  return Engine::load(kTiny, o);
}

const std::string kQuestion = "<bos><|turn>user\nWhat is this? <|image|><turn|>\n<|turn>model\n";

/// The first turn's reply, and the prompt of the second.
std::string first_turn(const std::shared_ptr<Engine>& engine, const Media& picture) {
  Session s(engine);
  s.set_prompt(kQuestion, std::vector{picture});
  return s.generate(greedy(12)).text;
}

void other_talk(const std::shared_ptr<Engine>& engine) {
  Session s(engine);
  s.append_tokens(std::vector<int32_t>(200, 311));
  s.generate(greedy(2));
}

struct Second {
  Reply reply;
  int new_tokens;
};
Second second_turn(const std::shared_ptr<Engine>& engine, const Media& picture) {
  Session s(engine);
  s.set_prompt(kQuestion + "Waves.<turn|>\n<|turn>user\nSure?<turn|>\n<|turn>model\n", std::vector{picture});
  Session question(engine);
  question.set_prompt(kQuestion, std::vector{picture});
  const int before = question.tokens();
  const Reply r = s.generate(greedy(8));
  return {r, r.usage.prompt_tokens - before};
}

// Only what is new is computed: in the slot, after another conversation took the slot, after a restart; and
// the reply is bit for bit that of a cold start.
TEST(PrefixCache, TheSecondTurnOfAChatWithAnImageComputesOnlyItsNewTokens) {
  const TempDir dir;
  const Media waves = tiny_media({"image", "waves.png", 280}),
              noise = tiny_media({"image", "noise.png", 280});
  const Second cold = second_turn(load_engine(0, ""), waves);
  EXPECT_EQ(cold.reply.usage.cached_tokens, 0);
  const auto check = [&](const std::shared_ptr<Engine>& engine, const char* when) {
    const Second warm = second_turn(engine, waves);
    EXPECT_EQ(warm.reply.ids, cold.reply.ids) << when;
    EXPECT_LE(warm.reply.usage.prompt_tokens - warm.reply.usage.cached_tokens, warm.new_tokens) << when;
  };
  {
    const auto engine = load_engine(int64_t{1} << 30, "");
    first_turn(engine, waves);
    check(engine, "in the slot");
    other_talk(engine);
    check(engine, "after another conversation");
    EXPECT_GT(engine->status().cache_hits, 0);
  }
  {
    const auto engine = load_engine(0, dir.path());
    first_turn(engine, waves);
    other_talk(engine);
    check(engine, "from disk");
  }
  const auto restarted = load_engine(int64_t{1} << 30, dir.path());
  check(restarted, "after a restart");
  EXPECT_GT(restarted->status().cache_hits, 0);
  // The same words about another picture share nothing behind it.
  Session s(restarted);
  s.set_prompt(kQuestion, std::vector{noise});
  EXPECT_LT(s.generate(greedy(2)).usage.cached_tokens, 16);
}

// While a conversation runs, another one that begins like it copies what they share.
TEST(PrefixCache, ABusySlotIsCopied) {
  const auto engine = load_engine(0, "", 2);
  const std::vector<int32_t> shared(200, 312);
  const auto cold = load_engine(0, "");
  Session a(engine), b(engine), alone(cold);
  a.append_tokens(shared);
  for (Session* s : {&b, &alone}) {
    s->append_tokens(shared);
    s->append_tokens(std::vector<int32_t>{320, 321});
  }
  bool once = true;
  Reply inner;
  a.generate(greedy(4), [&](const Event&) {
    if (std::exchange(once, false)) inner = b.generate(greedy(6));
  });
  EXPECT_EQ(inner.ids, alone.generate(greedy(6)).ids);
}

}  // namespace
}  // namespace tessera::test
