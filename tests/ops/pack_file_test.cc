// Packed weights that are kept for the next start.
#include "base/pack_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "backend/backend.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

std::vector<float> weights(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i % 97) / 64 - 0.7F;
  return v;
}

// A product of one row with `v` as [outputs, 64]; `read` counts whether the source was asked at all.
std::vector<float> product(const std::vector<float>& v, std::unique_ptr<PackFile> file, int& reads) {
  auto be = make_cpu_backend(1, "portable", std::move(file));
  const auto rows = static_cast<int64_t>(v.size()) / 64;
  const Weight w =
      be->pack({.cols = 64, .parts = {{.rows = rows, .read = [&](int64_t first, int64_t count, float* out) {
                                         ++reads;
                                         std::copy_n(v.data() + first * 64, count * 64, out);
                                       }}}});
  be->weights_done();
  std::vector<float> x(64, 0.25F), y(static_cast<size_t>(rows));
  be->linear({y.data(), 1, rows, DType::kF32}, {x.data(), 1, 64, DType::kF32}, w);
  return y;
}

TEST(PackFile, TheNextStartFindsWhatThisOnePacked) {
  const TempDir dir;
  const std::string path = dir.file("sub/folder/w.pack");
  const auto v = weights(64 * 40);
  std::string why;
  int reads = 0;
  auto first = PackFile::open(path, 7, 1 << 20, why);
  ASSERT_TRUE(first) << why;
  EXPECT_FALSE(first->filled());
  const auto wanted = product(v, std::move(first), reads);
  EXPECT_GT(reads, 0);

  reads = 0;
  auto second = PackFile::open(path, 7, 1 << 20, why);
  ASSERT_TRUE(second && second->filled());
  EXPECT_EQ(product(v, std::move(second), reads), wanted);
  EXPECT_EQ(reads, 0);

  auto other_model = PackFile::open(path, 8, 1 << 20, why);
  ASSERT_TRUE(other_model);
  EXPECT_FALSE(other_model->filled());
}

TEST(PackFile, WhatIsNotKeptMayComeAndGo) {
  const TempDir dir;
  const std::string path = dir.file("w.pack");
  const auto text = weights(64 * 40), media = weights(64 * 24);
  std::string why;
  for (const bool with_media : {true, false, true}) {
    auto file = PackFile::open(path, 7, 1 << 20, why);
    ASSERT_TRUE(file) << why;
    int reads = 0;
    const bool filled = file->filled();
    auto be = make_cpu_backend(1, "portable", std::move(file));
    const auto source = [&](const std::vector<float>& v, bool keep) {
      return WeightSource{.cols = 64,
                          .parts = {{.rows = static_cast<int64_t>(v.size()) / 64,
                                     .read =
                                         [&v, &reads](int64_t first, int64_t count, float* out) {
                                           ++reads;
                                           std::copy_n(v.data() + first * 64, count * 64, out);
                                         }}},
                          .keep = keep};
    };
    if (with_media) be->pack(source(media, false));
    EXPECT_EQ(reads > 0, with_media);
    reads = 0;
    const Weight w = be->pack(source(text, true));
    be->weights_done();
    EXPECT_EQ(reads == 0, filled);
    std::vector<float> x(64, 0.25F), y(40);
    be->linear({y.data(), 1, 40, DType::kF32}, {x.data(), 1, 64, DType::kF32}, w);
    EXPECT_FLOAT_EQ(y[39], 0.25F * std::accumulate(text.end() - 64, text.end(), 0.0F));
  }
  EXPECT_TRUE(PackFile::open(path, 7, 1 << 20, why)->filled());
}

TEST(PackFile, AFileThatWasNotFinishedOrIsDamagedIsNotTaken) {
  const TempDir dir;
  const std::string path = dir.file("w.pack");
  std::string why;
  { PackFile::open(path, 1, 1 << 16, why)->take(100); }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "an unfinished file is removed";
  {
    auto file = PackFile::open(path, 1, 1 << 16, why);
    std::memset(file->take(5000), 3, 5000);
    file->finish();
  }
  EXPECT_TRUE(PackFile::open(path, 1, 1 << 16, why)->filled());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4096);
  EXPECT_FALSE(PackFile::open(path, 1, 1 << 16, why)->filled());
  std::ofstream(path, std::ios::trunc) << "short";
  EXPECT_FALSE(PackFile::open(path, 1, 1 << 16, why)->filled());
}

TEST(PackFile, TooLittleRoomIsNoFailure) {
  const TempDir dir;
  std::string why;
  const auto v = weights(64 * 400);
  int reads = 0;
  const auto wanted = product(v, nullptr, reads);
  EXPECT_EQ(product(v, PackFile::open(dir.file("w.pack"), 1, 4096, why), reads), wanted);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "a file without all weights is of no use";
  EXPECT_EQ(PackFile::open("/proc/no/such/w.pack", 1, 4096, why), nullptr);
  EXPECT_NE(why.find("/proc/no/such/w.pack"), std::string::npos) << why;
}

}  // namespace
}  // namespace tessera
