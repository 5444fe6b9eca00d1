#include "model/embed.h"

#include <vector>

#include "base/error.h"

namespace tessera {
namespace {

struct Buffer {
  std::shared_ptr<void> memory;
  Tensor t;
  Buffer(Backend& be, int64_t rows, int64_t cols, DType dtype = DType::kF32)
      : memory(be.allocate(rows * cols * dtype_bytes(dtype))), t{memory.get(), rows, cols, dtype} {}
};

}  // namespace

MediaRows embed_patches(Backend& be, const Model& m, std::span<const float> patches, int cols) {
  if (!m.has_vision())
    throw_error(ErrorKind::kBadModel, "{}: has no vision tensors, so it cannot see images", m.config.path);
  const VisionPath& v = m.vision;
  const int64_t width = v.patch_dense.cols, n = static_cast<int64_t>(patches.size()) / width;
  TS_CHECK(n * width == static_cast<int64_t>(patches.size()) && n % cols == 0,
           "{} values, {} columns of patches", patches.size(), cols);
  std::vector<int32_t> xy;
  for (int32_t i = 0; i < n; ++i) xy.insert(xy.end(), {i % cols, i / cols});
  if (n / cols > v.positions.rows || cols > v.positions.rows)
    throw_error(ErrorKind::kTooLarge, "image grid of {}x{} patches, the model has {} positions", cols,
                n / cols, v.positions.rows);

  const DType act = be.activation_dtype();
  const Buffer u(be, n, width), e(be, n, v.patch_dense.rows), out(be, n, v.projection.rows),
      normed_u(be, n, width, act), normed_e(be, n, v.patch_dense.rows, act);
  be.write(u.t.data, patches.data(), static_cast<int64_t>(patches.size_bytes()));
  be.layer_norm(normed_u.t, u.t, {}, v.ln1, v.ln1_bias, m.config.layer_norm_eps);
  be.linear(e.t, normed_u.t, v.patch_dense);
  be.layer_norm(e.t, e.t, v.patch_bias, v.ln2, v.ln2_bias, m.config.layer_norm_eps);
  be.add_positions(e.t, v.positions, xy);
  be.layer_norm(e.t, e.t, {}, v.pos_norm, v.pos_norm_bias, m.config.layer_norm_eps);
  be.norm(normed_e.t, e.t, {}, m.config.vision_rms_eps);
  be.linear(out.t, normed_e.t, v.projection);
  be.sync();
  return {out.memory, out.t};
}

MediaRows embed_frames(Backend& be, const Model& m, std::span<const float> frames) {
  if (!m.has_audio())
    throw_error(ErrorKind::kBadModel, "{}: has no audio tensors, so it cannot hear", m.config.path);
  const int64_t width = m.audio_projection.cols, n = static_cast<int64_t>(frames.size()) / width;
  TS_CHECK(n * width == static_cast<int64_t>(frames.size()), "{} samples are no whole frames of {}",
           frames.size(), width);
  const Buffer u(be, n, width), out(be, n, m.audio_projection.rows),
      normed(be, n, width, be.activation_dtype());
  be.write(u.t.data, frames.data(), static_cast<int64_t>(frames.size_bytes()));
  be.norm(normed.t, u.t, {}, m.config.audio_rms_eps);
  be.linear(out.t, normed.t, m.audio_projection);
  be.sync();
  return {out.memory, out.t};
}

}  // namespace tessera
