// Products on tiles. Their loops run here on any CPU, over a model of the tile unit in plain memory, and
// where the CPU has the unit on that as well.
#include "backend/cpu/amx.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>

#include "backend/cpu/kernels.h"
#include "backend/cpu/pack.h"
#include "backend/cpu/tiling.h"
#include "support/quant_matrix.h"

namespace tessera::cpu {
namespace tile_model {
namespace {

#include "backend/cpu/portable.inc"
#include "backend/cpu/quant_codes.inc"
#include "backend/cpu/tile_products.inc"

// Eight tiles of 16 lines of 64 bytes. Nothing outside the configured lines and bytes is read or written.
struct MemoryTiles {
  struct Tile {
    uint8_t line[16][64];
    int lines, bytes;
  };
  static inline thread_local Tile tiles[8];
  static inline thread_local bool configured = false;

  static void configure(const TileLines& l) {
    for (int t = 0; t < 8; ++t) {
      tiles[t] = {};
      tiles[t].lines = t == 2 || t == 3 ? l.b_lines : l.a_lines;
      tiles[t].bytes = t < 2 ? l.a_bytes : 64;
    }
    configured = true;
  }
  static void release() { configured = false; }
  template <int kTile>
  static void load(const void* from, int64_t stride) {
    Tile& t = tiles[kTile];
    std::memset(t.line, 0, sizeof t.line);
    for (int i = 0; i < t.lines; ++i)
      std::memcpy(t.line[i], static_cast<const uint8_t*>(from) + i * stride, static_cast<size_t>(t.bytes));
  }
  template <int kTile>
  static void store(void* to, int64_t stride) {
    const Tile& t = tiles[kTile];
    for (int i = 0; i < t.lines; ++i)
      std::memcpy(static_cast<uint8_t*>(to) + i * stride, t.line[i], static_cast<size_t>(t.bytes));
  }
  template <int kTile>
  static void zero() {
    std::memset(tiles[kTile].line, 0, sizeof tiles[kTile].line);
  }
  template <bool kUnsigned, int kC, int kA, int kB>
  static void dot_bytes() {
    ASSERT_TRUE(configured);
    const Tile &a = tiles[kA], &b = tiles[kB];
    ASSERT_EQ(a.bytes / 4, b.lines);
    for (int m = 0; m < a.lines; ++m)
      for (int n = 0; n < 16; ++n) {
        int32_t sum = 0;
        std::memcpy(&sum, &tiles[kC].line[m][n * 4], 4);
        for (int k = 0; k < a.bytes; ++k) {
          const uint8_t w = b.line[k / 4][n * 4 + k % 4];
          sum += static_cast<int8_t>(a.line[m][k]) * (kUnsigned ? int{w} : int{static_cast<int8_t>(w)});
        }
        std::memcpy(&tiles[kC].line[m][n * 4], &sum, 4);
      }
  }
  // Even and odd inputs are chains of their own, added to c at the end: as Intel's manual describes
  // TDPBF16PS.
  template <int kC, int kA, int kB>
  static void dot_bf16() {
    ASSERT_TRUE(configured);
    const Tile &a = tiles[kA], &b = tiles[kB];
    ASSERT_EQ(a.bytes / 4, b.lines);
    const auto value = [](const uint8_t* at) {
      uint16_t bits = 0;
      std::memcpy(&bits, at, 2);
      return bf16_to_f32(bits);
    };
    for (int m = 0; m < a.lines; ++m)
      for (int n = 0; n < 16; ++n) {
        float sum = 0, half[2] = {};
        std::memcpy(&sum, &tiles[kC].line[m][n * 4], 4);
        for (int k = 0; k < a.bytes / 2; ++k) {
          float& h = half[k % 2];
          h = std::fma(value(&a.line[m][k * 2]), value(&b.line[k / 2][(n * 2 + k % 2) * 2]), h);
        }
        sum += half[0] + half[1];
        std::memcpy(&tiles[kC].line[m][n * 4], &sum, 4);
      }
  }
};

}  // namespace
}  // namespace tile_model

namespace {

// A tile unit, and the kernels whose bits its quantised products must have.
struct Unit {
  std::string name;
  const Kernels& plain;
  void (*gemm)(const GemmArgs&);
  void (*quant_gemm)(const QuantGemmArgs&);
  void (*split_row)(uint16_t*, int64_t, const float*, int64_t);
};

void PrintTo(const Unit& unit, std::ostream* out) {
  *out << unit.name;
}

std::vector<Unit> units() {
  std::vector<Unit> out{
      {"model", portable_kernels(), tile_model::tile_gemm_bf16<tile_model::MemoryTiles>,
       [](const QuantGemmArgs& a) { ASSERT_TRUE(tile_model::tile_product<tile_model::MemoryTiles>(a)); },
       tile_model::split_row}};
  if (amx_allowed()) {
    const Kernels& k = amx_kernels();
    out.push_back({"amx", avx512_kernels(), k.gemm, k.quant_gemm, k.split_row});
  }
  return out;
}

class TileUnit : public testing::TestWithParam<Unit> {};

TEST_P(TileUnit, QuantisedProductsHaveTheBitsOfTheVectorKernels) {
  const Unit& unit = GetParam();
  ThreadPool pool(1);
  constexpr int64_t kOutputs = 5 * 16 - 3, kPanels = 5;
  for (const Form& form : forms())
    for (const int64_t cols : {256, 608, 768}) {
      if (form.layout.group == 16 || !can_pack(form.layout, cols)) continue;  // 16: not for tiles
      const QuantMatrix w(form.layout, kOutputs, cols, 3);
      const PanelShape shape = panel_shape(form.layout, cols);
      std::vector<uint8_t> panels(static_cast<size_t>(kPanels * shape.panel_bytes));
      pack_quant(shape, kOutputs, w.part().read_quant, panels.data(), pool);
      for (const int64_t rows : {16, 17, 31, 32, 50, 63}) {  // the unit itself is used from 32 rows on
        const Values x(rows, cols, 5);
        std::vector<ActChunk> in(static_cast<size_t>((cols + 255) / 256 * rows));
        std::memset(static_cast<void*>(in.data()), 0x7f,
                    in.size() * sizeof(ActChunk));  // what must not be read is NaN
        for (int64_t r = 0; r < rows; ++r)
          unit.plain.quantize_row(in.data() + r, rows, x.v.data() + r * cols, cols, form.layout);
        Values wanted(rows, kPanels * 16), found(rows, kPanels * 16);
        QuantGemmArgs a{.x = in.data(), .rows = rows, .shape = &shape, .w = panels.data(), .panels = kPanels};
        a.tile = wanted.v.data();
        unit.plain.quant_gemm(a);
        a.tile = found.v.data();
        unit.quant_gemm(a);
        ASSERT_EQ(std::memcmp(found.v.data(), wanted.v.data(), wanted.v.size() * 4), 0)
            << form.name << ", " << rows << " rows of " << cols;
      }
    }
}

// Activations are split without a rest, so the products are those of float32; only the order of sums differs.
TEST_P(TileUnit, Bfloat16ProductsAreThoseOfFloat32AndRowsAreIndependent) {
  const Unit& unit = GetParam();
  ThreadPool pool(1);
  constexpr int64_t kOutputs = 5 * 16 - 3, kPanels = 5;
  for (const int64_t cols : {1, 2, 31, 32, 33, 160, 515}) {
    Values w(kOutputs, cols, 6);
    for (float& f : w.v) f = bf16_to_f32(f32_to_bf16(f));
    const WeightSource source{
        .cols = cols,
        .parts = {{.rows = kOutputs, .stored = DType::kBF16, .read = [&](int64_t r, int64_t n, float* out) {
                     std::copy_n(w.v.data() + r * cols, n * cols, out);
                   }}}};
    // Of exactly the packed size: a read beyond it is a sanitizer's to find.
    const auto panels =
        std::make_unique<uint8_t[]>(static_cast<size_t>(packed_bytes(kOutputs, cols, DType::kBF16)));
    pack_panels(source, DType::kBF16, panels.get(), pool);
    const Values x(50, cols, 7);
    const auto product = [&](int64_t first, int64_t rows) {
      std::vector<uint16_t> terms(static_cast<size_t>((cols + 31) / 32 * rows * kTermValues));
      for (int64_t r = 0; r < rows; ++r)
        unit.split_row(terms.data() + r * kTermValues, rows * kTermValues, x.v.data() + (first + r) * cols,
                       cols);
      Values y(rows, kPanels * 16);
      unit.gemm({.rows = rows,
                 .k = cols,
                 .w = panels.get(),
                 .dtype = DType::kBF16,
                 .panels = kPanels,
                 .tile = y.v.data(),
                 .terms = terms.data()});
      return y;
    };
    const Values whole = product(0, 50);
    for (int64_t r = 0; r < 50; ++r)
      for (int64_t c = 0; c < kOutputs; ++c) {
        double size = 0;
        for (int64_t k = 0; k < cols; ++k)
          size += std::fabs(double{x.v[static_cast<size_t>(r * cols + k)]} *
                            w.v[static_cast<size_t>(c * cols + k)]);
        ASSERT_NEAR(whole.v[static_cast<size_t>(r * kPanels * 16 + c)],
                    dot(x.v.data() + r * cols, w.v.data() + c * cols, cols), 1e-6 * size)
            << "row " << r << ", output " << c << " of " << cols << " inputs";
      }
    for (const int64_t step : {1, 3, 15, 16, 17, 33})
      for (int64_t r = 0; r < 50; r += step) {
        const int64_t rows = std::min(step, 50 - r);
        const Values part = product(r, rows);
        ASSERT_EQ(std::memcmp(part.v.data(), whole.v.data() + r * kPanels * 16, part.v.size() * 4), 0)
            << rows << " rows from " << r << " of " << cols << " inputs";
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, TileUnit, testing::ValuesIn(units()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace tessera::cpu
