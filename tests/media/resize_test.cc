// Target size, bicubic resize and patches against the reference's numbers.
#include "media/resize.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "media/patches.h"
#include "media/target_size.h"
#include "media_files.h"
#include "support/safetensors_reader.h"

namespace tessera {
namespace {

constexpr int kBudgets[] = {70, 140, 280, 560, 1120};

const std::map<std::string, GoldenTensor>& golden() {
  static const auto tensors = read_golden(fixture("tiny/golden.safetensors"));
  return tensors;
}

Image load(const std::string& name) {
  const std::vector<uint8_t> file = read_fixture("tiny/media/" + name);
  return decode_image(file, name);
}

TEST(TargetSize, ReferenceRows) {
  std::ifstream file(fixture("tiny/cases.json"));
  ASSERT_TRUE(file) << "cases.json is missing";
  int rows = 0;
  for (const auto& c : nlohmann::json::parse(file)) {
    if (c.at("name") != "resize_rule") continue;
    for (const auto& row : c.at("rows")) {  // height, width, budget, target height, target width, tokens
      const TargetSize size = target_size(row[1], row[0], row[2]);
      EXPECT_EQ(size.height, row[3].get<int>()) << row;
      EXPECT_EQ(size.width, row[4].get<int>()) << row;
      EXPECT_EQ(size.soft_tokens(), row[5].get<int>()) << row;
      ++rows;
    }
  }
  EXPECT_GE(rows, 60);
}

struct TableRow {
  int width, height;
  std::vector<std::array<int, 3>> targets;  // height, width, tokens for each of kBudgets
};

TEST(TargetSize, TableOfTheDescription) {
  const std::vector<std::array<int, 3>> square{
      {384, 384, 64}, {528, 528, 121}, {768, 768, 256}, {1104, 1104, 529}, {1584, 1584, 1089}};
  const std::vector<std::array<int, 3>> photo{
      {336, 432, 63}, {480, 624, 130}, {672, 912, 266}, {960, 1296, 540}, {1344, 1824, 1064}};
  const std::vector<std::array<int, 3>> upright{
      {432, 336, 63}, {624, 480, 130}, {912, 672, 266}, {1296, 960, 540}, {1824, 1344, 1064}};
  const std::vector<std::array<int, 3>> screen{
      {288, 528, 66}, {384, 720, 120}, {576, 1056, 264}, {816, 1488, 527}, {1200, 2112, 1100}};
  const std::vector<TableRow> table{
      {1, 1, square},
      {48, 48, square},
      {224, 224, square},
      {816, 816, square},
      {1024, 1024, square},
      {640, 480, photo},
      {800, 600, photo},
      {480, 640, upright},
      {1280, 720, screen},
      {1920, 1080, screen},
      {3840, 2160, screen},
      {1024, 256, {{192, 768, 64}, {240, 1104, 115}, {384, 1584, 264}, {528, 2256, 517}, {768, 3168, 1056}}},
      {3, 900, {{3360, 48, 70}, {6720, 48, 140}, {13440, 48, 280}, {19632, 48, 409}, {27792, 48, 579}}},
      {2000, 5, {{48, 3360, 70}, {48, 6720, 140}, {48, 13440, 280}, {48, 22704, 473}, {48, 32112, 669}}},
  };
  for (const TableRow& row : table) {
    for (size_t b = 0; b < 5; ++b) {
      const TargetSize size = target_size(row.width, row.height, kBudgets[b]);
      const std::array<int, 3> found{size.height, size.width, size.soft_tokens()};
      EXPECT_EQ(found, row.targets[b]) << row.width << "x" << row.height << " at " << kBudgets[b];
    }
  }
}

// The row "299x301: same as square" of the description's table, checked against its own rule.
TEST(TargetSize, NearlySquare) {
  const TargetSize size = target_size(299, 301, 280);
  EXPECT_EQ(size.height, static_cast<int>(std::sqrt(280.0 * 2304 / (299.0 * 301)) * 301 / 48) * 48);
  EXPECT_EQ(size.width, 768);
}

TEST(TargetSize, FitsTheBudgetForEverySize) {
  constexpr uint32_t kSeed = 20261122;
  std::mt19937 random(kSeed);
  std::uniform_int_distribution<int> side(1, 8000);
  std::vector<std::pair<int, int>> sizes;
  for (int i = 0; i < 20000; ++i) sizes.emplace_back(side(random), side(random));
  for (int w = 1; w <= 8000; ++w) sizes.insert(sizes.end(), {{w, 1}, {1, w}, {w, w}, {w, 900}, {3, w}});
  for (const auto& [w, h] : sizes) {
    for (int budget : kBudgets) {
      const TargetSize size = target_size(w, h, budget);
      const bool ok = size.width % 48 == 0 && size.height % 48 == 0 && size.cols() >= 1 && size.rows() >= 1 &&
                      size.soft_tokens() <= budget && size.cols() <= 1120 && size.rows() <= 1120;
      ASSERT_TRUE(ok) << w << "x" << h << " at " << budget << ": " << size.width << "x" << size.height
                      << ", seed " << kSeed;
    }
  }
}

TEST(TargetSize, RefusesOtherBudgetsAndEmptyImages) {
  for (int budget : {-70, 0, 1, 69, 71, 256, 1121, 100000}) {
    EXPECT_ERROR(target_size(640, 480, budget), ErrorKind::kBadRequest, "70, 140, 280, 560 or 1120");
  }
  EXPECT_ERROR(target_size(0, 480, 280), ErrorKind::kBadRequest, "0x480");
}

TEST(Resize, GoldensAreEqual) {
  int goldens = 0;
  for (const auto& [key, tensor] : golden()) {
    if (key.rfind("resize/", 0) != 0) continue;
    const size_t slash = key.rfind('/');
    const Image source = load(key.substr(7, slash - 7));
    const int height = static_cast<int>(tensor.shape[0]), width = static_cast<int>(tensor.shape[1]);
    const Image found = resize_bicubic(source, width, height);
    const std::vector<uint8_t> expected = tensor.u8();
    ASSERT_EQ(found.rgb.size(), expected.size()) << key;
    size_t different = 0;
    for (size_t i = 0; i < expected.size(); ++i) different += found.rgb[i] != expected[i] ? 1 : 0;
    EXPECT_EQ(different, 0U) << key << " of " << expected.size() << " values";
    ++goldens;
  }
  EXPECT_EQ(goldens, 4);
}

TEST(Resize, ConstantImagesStayConstant) {
  constexpr uint32_t kSeed = 3;
  std::mt19937 random(kSeed);
  for (int i = 0; i < 200; ++i) {
    const int w = 1 + random() % 90, h = 1 + random() % 90, to_w = 1 + random() % 90,
              to_h = 1 + random() % 90;
    const auto level = static_cast<uint8_t>(random());
    const Image source{w, h, std::vector<uint8_t>(static_cast<size_t>(w) * h * 3, level)};
    const Image found = resize_bicubic(source, to_w, to_h);
    ASSERT_EQ(found.rgb.size(), static_cast<size_t>(to_w) * to_h * 3);
    for (uint8_t v : found.rgb) ASSERT_EQ(v, level) << w << "x" << h << " -> " << to_w << "x" << to_h;
  }
}

TEST(Resize, SameSizeIsTheSameImage) {
  const Image source = load("noise.png");
  EXPECT_EQ(resize_bicubic(source, source.width, source.height).rgb, source.rgb);
}

// Mirroring before and after is the same: the filter is symmetric and its rounding does not depend on the
// side.
TEST(Resize, MirrorsCommute) {
  const Image source = load("noise.png");
  for (const auto& [w, h] : {std::pair{96, 144}, {12, 20}, {37, 40}}) {
    const Image a = apply_orientation(resize_bicubic(source, w, h), 2);
    const Image b = resize_bicubic(apply_orientation(source, 2), w, h);
    EXPECT_EQ(a.rgb, b.rgb) << w << "x" << h;
  }
}

TEST(Resize, ExtremeRatiosAreBounded) {
  const Image wide{60000, 2, std::vector<uint8_t>(60000 * 2 * 3, 77)};
  const Image found = resize_bicubic(wide, 48, 48);
  EXPECT_EQ(found.rgb, std::vector<uint8_t>(48 * 48 * 3, 77));
}

TEST(Resize, TwelveMegapixelsInTime) {
  Image photo{4032, 3024, {}};
  photo.rgb.resize(static_cast<size_t>(photo.width) * photo.height * 3);
  for (size_t i = 0; i < photo.rgb.size(); ++i) photo.rgb[i] = static_cast<uint8_t>(i * 2654435761U >> 13);
  const auto start = std::chrono::steady_clock::now();
  const Image found = resize_bicubic(photo, 912, 672);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(found.rgb.size(), 912U * 672 * 3);
  RecordProperty("resize_ms", static_cast<int>(took.count()));
  std::printf("4032x3024 -> 912x672: %.0f ms\n", took.count());
}

void expect_patches(const Patches& patches, const std::string& golden_case) {
  const std::vector<float> expected = golden().at(golden_case + "/pixel_values").f32();
  ASSERT_EQ(patches.values.size(), expected.size());
  size_t different = 0;
  for (size_t i = 0; i < expected.size(); ++i) different += patches.values[i] != expected[i] ? 1 : 0;
  EXPECT_EQ(different, 0U);
}

void expect_positions(const Patches& patches, const std::string& golden_case) {
  const std::vector<int32_t> expected = golden().at(golden_case + "/image_position_ids").i32();
  ASSERT_EQ(static_cast<size_t>(patches.cols) * patches.rows * 2, expected.size());
  for (int n = 0; n < patches.cols * patches.rows; ++n) {
    ASSERT_EQ(expected[n * 2], n % patches.cols) << "x of patch " << n;
    ASSERT_EQ(expected[n * 2 + 1], n / patches.cols) << "y of patch " << n;
  }
}

Patches patches_of(const std::string& name, int budget) {
  const Image image = load(name);
  const TargetSize size = target_size(image.width, image.height, budget);
  return to_patches(resize_bicubic(image, size.width, size.height));
}

TEST(Patches, GoldenValuesAreEqual) {
  const Patches patches = patches_of("waves.png", 70);
  EXPECT_EQ(patches.cols, 10);
  EXPECT_EQ(patches.rows, 6);
  expect_patches(patches, "image");
  expect_positions(patches, "image");
}

TEST(Patches, GoldenPositions) {
  expect_positions(patches_of("shapes.png", 280), "image_280");
  expect_positions(patches_of("wide.png", 70), "image_wide");
}

TEST(Patches, LayoutIsRowsOfPatchesOfHwc) {
  Image image{96, 96, std::vector<uint8_t>(96 * 96 * 3)};
  const auto set = [&](int x, int y, int c) { image.rgb[(y * 96 + x) * 3 + c] = 255; };
  set(50, 3, 1);  // patch 1, x 2, y 3, green
  set(5, 95, 2);  // patch 2, x 5, y 47, blue
  const Patches patches = to_patches(image);
  ASSERT_EQ(patches.values.size(), 4U * 6912);
  for (size_t i = 0; i < patches.values.size(); ++i) {
    const bool lit = i == 6912 + (3 * 48 + 2) * 3 + 1 || i == 2 * 6912 + (47 * 48 + 5) * 3 + 2;
    ASSERT_EQ(patches.values[i], lit ? 1.0F : 0.0F) << i;
  }
}

}  // namespace
}  // namespace tessera
