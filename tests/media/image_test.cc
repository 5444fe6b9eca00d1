// Decoding of image files against Pillow's pixels (tests/fixtures/media/README.md), orientation, limits, PNG
// output.
#include "media/image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "media_files.h"
#include "support/safetensors_reader.h"

namespace tessera {
namespace {

const std::map<std::string, GoldenTensor>& expected_pixels() {
  static const auto tensors = read_golden(fixture("media/expected.safetensors"));
  return tensors;
}

Image decode_fixture(const std::string& name) {
  return decode_image(read_fixture("media/" + name), name);
}

bool ends_with(const std::string& name, const std::string& end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

// A JPEG goes through another inverse DCT than Pillow's, which may round a component by one level; the
// conversion to RGB turns that into two or, for blue (1.77 Cb) with luma, three.
int allowed_difference(const std::string& name) {
  return ends_with(name, ".jpg") ? 3 : 0;
}

TEST(DecodeImage, PixelsEqualPillow) {
  size_t files = 0, values = 0, different = 0;
  for (const auto& [name, tensor] : expected_pixels()) {
    SCOPED_TRACE(name);
    const Image image = decode_fixture(name);
    ASSERT_EQ(image.height, tensor.shape[0]);
    ASSERT_EQ(image.width, tensor.shape[1]);
    const std::vector<uint8_t> pixels = tensor.u8();
    ASSERT_EQ(image.rgb.size(), pixels.size());
    size_t off = 0;
    for (size_t i = 0; i < pixels.size(); ++i) {
      const int difference = std::abs(image.rgb[i] - pixels[i]);
      ASSERT_LE(difference, allowed_difference(name)) << "value " << i;
      off += difference != 0 ? 1 : 0;
    }
    if (ends_with(name, ".jpg")) {
      EXPECT_LE(off, pixels.size() / 14) << "values that differ, of " << pixels.size();
      values += pixels.size();
      different += off;
    }
    ++files;
  }
  EXPECT_GE(files, 45U);
  EXPECT_LE(different * 100, values * 4) << different << " of " << values << " JPEG values differ";
  std::printf("%zu files; of %zu JPEG values %zu differ from Pillow\n", files, values, different);
}

// Chroma is upsampled by libjpeg's filter: swscale's or plain replication would be off by tens of levels
// here.
TEST(DecodeImage, JpegMeanErrorIsSmall) {
  for (const char* name : {"baseline_420.jpg", "baseline_422.jpg", "progressive_420.jpg", "ycck.jpg"}) {
    const Image image = decode_fixture(name);
    const std::vector<uint8_t> pixels = expected_pixels().at(name).u8();
    int64_t sum = 0;
    for (size_t i = 0; i < pixels.size(); ++i) sum += std::abs(image.rgb[i] - pixels[i]);
    EXPECT_LT(static_cast<double>(sum) / static_cast<double>(pixels.size()), 0.1) << name;
  }
}

TEST(DecodeImage, ProgressiveEqualsBaseline) {
  EXPECT_EQ(decode_fixture("progressive_420.jpg").rgb, decode_fixture("baseline_420.jpg").rgb);
}

TEST(DecodeImage, AlphaIsDroppedNotComposited) {
  const Image opaque = decode_fixture("rgb.png");
  for (const char* name : {"rgba.png", "rgb_trns.png", "lossless_alpha.webp", "deflate_rgba.tif",
                           "lossless.webp", "rgb.bmp", "raw.tif", "lzw.tif", "interlaced.png", "rgb16.png"}) {
    EXPECT_EQ(decode_fixture(name).rgb, opaque.rgb) << name;
  }
}

TEST(DecodeImage, EveryExifOrientationShowsTheSamePicture) {
  const Image upright = decode_fixture("exif_1.jpg");
  // Each file stores the same pixels, so orientation k shows upright turned by k: undo it with the inverse.
  constexpr int kInverse[] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
  for (int k = 2; k <= 8; ++k) {
    const Image shown = decode_fixture("exif_" + std::to_string(k) + ".jpg");
    EXPECT_EQ(shown.width, k >= 5 ? upright.height : upright.width) << k;
    const Image back = apply_orientation(shown, kInverse[k]);
    EXPECT_EQ(back.width, upright.width) << k;
    EXPECT_EQ(back.rgb, upright.rgb) << k;
    EXPECT_NE(shown.rgb, upright.rgb) << k;
  }
}

TEST(Orientation, PixelByPixel) {
  // a b c
  // d e f
  const auto picture = [](int w, int h, const std::string& letters) {
    Image image{w, h, {}};
    for (char c : letters) image.rgb.insert(image.rgb.end(), 3, static_cast<uint8_t>(c));
    return image;
  };
  const Image source = picture(3, 2, "abcdef");
  const char* upright[] = {"abcdef", "cbafed", "fedcba", "defabc", "adbecf", "daebfc", "fcebda", "cfbead"};
  for (int k = 1; k <= 8; ++k) {
    const Image expected = k >= 5 ? picture(2, 3, upright[k - 1]) : picture(3, 2, upright[k - 1]);
    const Image found = apply_orientation(source, k);
    EXPECT_EQ(found.width, expected.width) << k;
    EXPECT_EQ(found.rgb, expected.rgb) << k;
  }
  EXPECT_EQ(apply_orientation(source, 0).rgb, source.rgb);
  EXPECT_EQ(apply_orientation(source, 9).rgb, source.rgb);
}

TEST(DecodeImage, TiffThatWouldDecodeWronglyIsRefused) {
  EXPECT_ERROR(decode_fixture("jpeg_inside.tif"), ErrorKind::kBadMedia, "compression 7");
}

std::vector<uint8_t> png_header(uint32_t width, uint32_t height) {
  std::vector<uint8_t> file{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R'};
  for (uint32_t side : {width, height}) {
    for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<uint8_t>(side >> shift));
  }
  file.insert(file.end(), {8, 2, 0, 0, 0, 0, 0, 0, 0});
  return file;
}

TEST(ImageLimits, PngBombIsRefusedFromItsHeader) {
  EXPECT_ERROR(decode_image(png_header(100000, 100000), "bomb.png"), ErrorKind::kTooLarge, "100000x100000");
  EXPECT_ERROR(decode_image(png_header(100000, 100000), "bomb.png"), ErrorKind::kTooLarge, "150000000");
  EXPECT_ERROR(decode_image(png_header(0xFFFFFFFF, 0xFFFFFFFF), "bomb.png"), ErrorKind::kTooLarge,
               "4294967295");
  EXPECT_ERROR(decode_image(png_header(100'000'000, 1), "long.png"), ErrorKind::kTooLarge, "100000000x1");
  EXPECT_ERROR(decode_image(png_header(0, 5), "empty.png"), ErrorKind::kBadMedia, "");
}

TEST(ImageLimits, EveryFormatIsChecked) {
  MediaLimits limits;
  limits.max_image_pixels = 27 * 19 - 1;
  for (const char* name : {"baseline_420.jpg", "rgb.png", "lossy.webp", "lossless.webp", "animated.webp",
                           "plain.gif", "rgb.bmp", "raw.tif", "exif_6.png"}) {
    EXPECT_ERROR(decode_image(read_fixture(std::string("media/") + name), name, limits), ErrorKind::kTooLarge,
                 "the limit is 512");
  }
  limits.max_image_pixels = 27 * 19;
  EXPECT_EQ(decode_image(read_fixture("media/rgb.png"), "rgb.png", limits).width, 27);
  limits.max_file_bytes = 100;
  EXPECT_ERROR(decode_image(read_fixture("media/rgb.png"), "rgb.png", limits), ErrorKind::kTooLarge,
               "limit is 100");
}

TEST(DecodeImage, SaysWhatItIsNot) {
  EXPECT_ERROR(decode_image({}, "empty.png"), ErrorKind::kBadMedia, "empty.png");
  const std::string text = "hello, this is no image at all";
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  EXPECT_ERROR(decode_image(bytes, "note.txt"), ErrorKind::kBadMedia, "68 65 6c 6c");
  EXPECT_ERROR(decode_image(read_fixture("media/tone.flac"), "tone.flac"), ErrorKind::kBadMedia, "JPEG, PNG");
}

TEST(EncodePng, ComesBackExactly) {
  for (const char* name : {"rgb.png", "grey.png", "tiny_420.jpg", "exif_6.png"}) {
    const Image image = decode_fixture(name);
    const Image back = decode_image(encode_png(image), "encoded");
    EXPECT_EQ(back.width, image.width) << name;
    EXPECT_EQ(back.rgb, image.rgb) << name;
  }
  EXPECT_ERROR(encode_png(Image{}), ErrorKind::kBadRequest, "one pixel");
}

TEST(DrawPatchGrid, IsSeenOnAnyBackground) {
  for (int level = 0; level < 256; ++level) {
    const Image flat{144, 96, std::vector<uint8_t>(144 * 96 * 3, static_cast<uint8_t>(level))};
    const Image drawn = draw_patch_grid(flat);
    for (int y = 0; y < 96; ++y) {
      for (int x = 0; x < 144; ++x) {
        const int difference = std::abs(drawn.rgb[(y * 144 + x) * 3] - level);
        const bool line = x % 48 == 0 || y % 48 == 0;
        ASSERT_TRUE(line ? difference >= 127 : difference == 0) << level << " at " << x << "," << y;
      }
    }
  }
}

TEST(DecodeImage, ThreadsDoNotDisturbEachOther) {
  const std::vector<std::string> names{"baseline_420.jpg", "rgb16.png", "lossy_alpha.webp", "animated.gif",
                                       "lzw.tif"};
  std::vector<Image> alone;
  for (const std::string& name : names) alone.push_back(decode_fixture(name));
  std::vector<std::thread> threads;
  std::vector<int> equal(8, 0);
  for (size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 50; ++i) {
        const size_t n = (i + t) % names.size();
        equal[t] += decode_fixture(names[n]).rgb == alone[n].rgb ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : equal) EXPECT_EQ(count, 50);
}

}  // namespace
}  // namespace tessera
