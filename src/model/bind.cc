// Names → layers. Every tensor is found by its canonical name, checked against the config's shape, and
// packed.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/file_map.h"
#include "format/affine.h"
#include "format/blocks.h"
#include "model/model.h"
#include "model/names.h"

namespace tessera {
namespace {

constexpr int64_t kRowAlign = 16;  // each half of gate_up

class Binder {
 public:
  Binder(const ModelConfig& config, const TensorStore& store, Backend& backend,
         const std::function<void(double)>& progress)
      : config_(as_stored(config, store)),
        store_(store),
        backend_(backend),
        progress_(progress),
        bytes_before_(backend.weight_bytes()) {
    for (const ExpectedTensor& e : expected_tensors(config_)) expected_.emplace(e.name, e.shape);
    for (const auto& [name, tensor] : store.tensors())
      total_bytes_ += static_cast<int64_t>(tensor.bytes.size());
  }

  Model bind() {
    Model m;
    m.config = config_;
    m.tok_embed = matrix({.names = {"model.language_model.embed_tokens.weight"}, .cut = Cut::kOutputs});
    for (size_t i = 0; i < config_.layers.size(); ++i) m.layers.push_back(layer(m, static_cast<int>(i)));
    const Weight final_norm = plain("model.language_model.norm.weight");
    for (size_t i = 0; i < m.layers.size(); ++i)
      m.layers[i].next_norm = i + 1 < m.layers.size() ? m.layers[i + 1].attn_norm : final_norm;
    if (config_.drafter) m.draft = draft_head();
    m.text_bytes = backend_.weight_bytes() - bytes_before_;
    if (config_.mm_embed > 0) m.vision = vision();
    if (config_.audio_samples_per_token > 0)
      m.audio_projection = media_matrix("model.embed_audio.embedding_projection.weight");
    backend_.weights_done();
    if (progress_) progress_(1.0);
    return m;
  }

 private:
  Layer layer(Model& m, int index) {
    const std::string prefix = fmt::format("model.language_model.layers.{}.", index);
    const auto name = [&prefix](const char* leaf) { return prefix + leaf; };
    const LayerConfig& c = config_.layers[static_cast<size_t>(index)];
    Layer l;
    l.shape = {.q_heads = config_.q_heads,
               .kv_heads = c.kv_heads,
               .head_dim = c.head_dim,
               .v_is_k = c.v_is_k,
               // A drafter's rows see one position more (docs/spec/mtp.md §4).
               .window = c.sliding ? config_.window + (config_.drafter ? 1 : 0) : 0,
               .norm_eps = config_.rms_eps,
               .own_kv = !config_.drafter};
    l.rope = rope_index(m, c.sliding, c.head_dim);
    l.attn_norm = plain(name("input_layernorm.weight"));
    Matrix qkv{.names = {name("self_attn.q_proj.weight")}, .layer = index, .cut = Cut::kOutputs};
    if (l.shape.own_kv) qkv.names.push_back(name("self_attn.k_proj.weight"));
    if (l.shape.own_kv && !c.v_is_k) qkv.names.push_back(name("self_attn.v_proj.weight"));
    qkv.heads = {l.shape.q_heads, l.shape.kv_heads, l.shape.kv_heads};
    l.w_qkv = matrix(qkv);
    l.q_norm = plain(name("self_attn.q_norm.weight"));
    if (l.shape.own_kv) l.k_norm = plain(name("self_attn.k_norm.weight"));
    l.w_o = matrix({.names = {name("self_attn.o_proj.weight")},
                    .layer = index,
                    .cut = Cut::kInputs,
                    .heads = {l.shape.q_heads}});
    l.post_attn_norm = plain(name("post_attention_layernorm.weight"));
    l.ffn_norm = plain(name("pre_feedforward_layernorm.weight"));
    l.w_gate_up = matrix({.names = {name("mlp.gate_proj.weight"), name("mlp.up_proj.weight")},
                          .align = kRowAlign,
                          .layer = index,
                          .cut = Cut::kOutputs});
    l.w_down = matrix({.names = {name("mlp.down_proj.weight")}, .layer = index, .cut = Cut::kInputs});
    l.post_ffn_norm = plain(name("post_feedforward_layernorm.weight"));
    read_rows_f32(find(name("layer_scalar")), 0, 1, &l.scale);
    return l;
  }

  DraftHead draft_head() {
    DraftHead d;
    d.pre_projection = matrix({.names = {"pre_projection.weight"}});
    d.post_projection = matrix({.names = {"post_projection.weight"}});
    if (!config_.drafter->ordered) return d;
    d.centroids = matrix({.names = {"masked_embedding.centroids.weight"}});
    const FileTensor& order = find("masked_embedding.token_ordering");
    if (order.type != FileType::kI64)
      throw_error(ErrorKind::kBadModel, "{}: {} has type {}, expected I64", order.file, order.name,
                  to_string(order.type));
    d.token_ordering.resize(static_cast<size_t>(config_.vocab));
    for (size_t i = 0; i < d.token_ordering.size(); ++i) {
      int64_t id = 0;
      std::memcpy(&id, order.bytes.data() + i * sizeof id, sizeof id);
      if (id < 0 || id >= config_.vocab)
        throw_error(ErrorKind::kBadModel, "{}: {}[{}] is {}, expected an id below {}", order.file, order.name,
                    i, id, config_.vocab);
      d.token_ordering[i] = static_cast<int32_t>(id);
    }
    return d;
  }

  VisionPath vision() {
    const std::string p = "model.vision_embedder.";
    VisionPath v;
    v.ln1 = plain(p + "patch_ln1.weight");
    v.ln1_bias = plain(p + "patch_ln1.bias");
    v.patch_dense = media_matrix(p + "patch_dense.weight");
    v.patch_bias = plain(p + "patch_dense.bias");
    v.ln2 = plain(p + "patch_ln2.weight");
    v.ln2_bias = plain(p + "patch_ln2.bias");
    v.positions = plain(p + "pos_embedding");
    v.pos_norm = plain(p + "pos_norm.weight");
    v.pos_norm_bias = plain(p + "pos_norm.bias");
    v.projection = media_matrix("model.embed_vision.embedding_projection.weight");
    return v;
  }

  // The tensor, its shape checked. A quantised module's shape is checked with its scales (part()).
  const FileTensor& find(const std::string& name) {
    const FileTensor* t = store_.find(name);
    if (t == nullptr)
      throw_error(ErrorKind::kBadModel, "{}: tensor {} is missing, expected {}; is the download complete?",
                  config_.path, name, shape_text(expected_.at(name)));
    const bool quantised = t->type == FileType::kU32;
    if (!quantised && t->shape != expected_.at(name))
      throw_error(
          ErrorKind::kBadModel,
          "{}: tensor {} is {}, the config asks for {}; weights and config belong to different models. "
          "Run: tessera inspect {}",
          t->file, t->name, t->shape_text(), shape_text(expected_.at(name)), config_.path);
    done_bytes_ += static_cast<int64_t>(t->bytes.size());
    if (progress_)
      progress_(static_cast<double>(done_bytes_) / static_cast<double>(std::max<int64_t>(1, total_bytes_)));
    return *t;
  }

  static std::string shape_text(const std::vector<int64_t>& shape) {
    FileTensor t;
    t.shape = shape;
    return t.shape_text();
  }

  Weight plain(const std::string& name) {
    const FileTensor& t = find(name);
    const int64_t rows = t.shape.size() < 2 ? 1 : t.shape[0];
    WeightPart part{rows, DType::kF32,
                    [&t](int64_t first, int64_t count, float* out) { read_rows_f32(t, first, count, out); }};
    return sized(
        [&] { return backend_.pack_plain({.cols = t.elements() / rows, .parts = {std::move(part)}}); });
  }

  // What `pack` returns, with the bytes that it took in the backend.
  template <typename Pack>
  Weight sized(const Pack& pack) {
    const int64_t before = backend_.weight_bytes();
    Weight w = pack();
    w.bytes = backend_.weight_bytes() - before;
    return w;
  }

  // Vision and sound are packed at every start, 0.1 s: a GGUF keeps one packed file, with and without an
  // mmproj.
  Weight media_matrix(const std::string& name) { return matrix({.names = {name}, .keep = false}); }

  // Several matrices of the same input width, one under the other. `align`: rows of each part are padded with
  // zeros.
  struct Matrix {
    std::vector<std::string> names;
    int64_t align = 1;
    bool keep = true;
    int layer = -1;  // a drafter's are no layers of the model
    Cut cut = Cut::kWhole;
    std::vector<int64_t> heads = {};  // of the parts, or of the columns
  };
  Weight matrix(const Matrix& m) {
    const auto& names = m.names;
    WeightSource whole{.cols = expected_.at(names[0])[1], .row_align = m.align, .keep = m.keep, .cut = m.cut};
    if (!config_.drafter) whole.layer = m.layer;
    if (m.cut == Cut::kInputs && !m.heads.empty()) whole.heads = m.heads[0];
    for (size_t i = 0; i < names.size(); ++i) {
      whole.parts.push_back(part(names[i]));
      if (m.cut == Cut::kOutputs && !m.heads.empty()) whole.parts.back().heads = m.heads[i];
    }
    const Weight packed = sized([&] { return backend_.pack(whole); });
    // What was read is in the backend now: the file's pages need not stay in memory beside it.
    for (const std::string& name : names) release_mapped(store_.find(name)->bytes);
    return packed;
  }

  // One published matrix: plain, in blocks (formats.md §3), or affine-quantised (§4).
  WeightPart part(const std::string& name) {
    const FileTensor& t = find(name);
    const int64_t rows = expected_.at(name)[0], cols = expected_.at(name)[1];
    if (t.type != FileType::kU32) {
      WeightPart p{rows, t.type == FileType::kBF16 ? DType::kBF16 : DType::kF32,
                   [&t](int64_t first, int64_t count, float* out) { read_rows_f32(t, first, count, out); }};
      // Blocks of permuted columns would not be blocks: such a matrix is opened.
      if (is_block_type(t.type) && t.order == StoredOrder::kAsPublished) {
        p.quant = block_layout(t.type);
        p.read_quant = [&t, cols](int64_t row, const QuantRow& out) {
          read_block_row(t.type, t.bytes.data() + row * row_bytes(t.type, cols), cols, out);
        };
      }
      p.fetch = [&t] { fetch_mapped(t.bytes); };
      return p;
    }
    const std::string module = name.substr(0, name.size() - std::string("weight").size());
    const FileTensor *scales = store_.find(module + "scales"), *biases = store_.find(module + "biases");
    if (scales == nullptr || biases == nullptr)
      throw_error(ErrorKind::kBadModel,
                  "{}: {} is packed (U32) but {}{} is missing; only affine quantisation is supported", t.file,
                  t.name, module, scales == nullptr ? "scales" : "biases");
    const auto [bits, group] = affine_shape(t, *scales, cols);
    check_affine(t, *scales, *biases, bits, group, rows, cols);
    WeightPart p{rows, DType::kBF16,
                 [&t, scales, biases, bits = bits, group = group, rows, cols](int64_t first, int64_t count,
                                                                              float* out) {
                   dequantize_affine(t, *scales, *biases, bits, group, rows, cols, first, count, out);
                 }};
    p.quant = affine_layout(bits, group, scales->type, biases->type);
    p.read_quant = [&t, scales, biases, bits = bits, group = group, cols](int64_t row, const QuantRow& out) {
      read_affine_row(t, *scales, *biases, bits, group, cols, row, out);
    };
    p.fetch = [&t] { fetch_mapped(t.bytes); };
    return p;
  }

  // Index of the frequencies for this kind of layer and width, made when first asked for:
  // f_i = theta^(-2i / head_dim) for the rotating share of the pairs, 0 for the rest; rounded to float32
  // once.
  int rope_index(Model& m, bool sliding, int head_dim) {
    const auto [at, fresh] =
        ropes_.try_emplace({sliding, head_dim}, static_cast<int>(m.rope_frequency.size()));
    if (!fresh) return at->second;
    const RopeConfig& rope = sliding ? config_.rope_sliding : config_.rope_full;
    const auto turning = static_cast<int64_t>(rope.rotary_fraction * head_dim / 2);
    const WeightPart part{
        1, DType::kF32, [&](int64_t, int64_t, float* out) {
          for (int64_t i = 0; i < head_dim / 2; ++i)
            out[i] = i < turning
                         ? static_cast<float>(std::pow(rope.theta, -2.0 * static_cast<double>(i) / head_dim))
                         : 0.0F;
        }};
    m.rope_frequency.push_back(sized([&] { return backend_.pack_plain({head_dim / 2, 1, {part}}); }));
    return at->second;
  }

  const ModelConfig config_;
  const TensorStore& store_;
  Backend& backend_;
  const std::function<void(double)>& progress_;
  std::map<std::string, std::vector<int64_t>> expected_;
  std::map<std::pair<bool, int>, int> ropes_;
  const int64_t bytes_before_;  // of a model bound before this one
  int64_t total_bytes_ = 0, done_bytes_ = 0;
};

}  // namespace

Model bind_model(const ModelConfig& config, const TensorStore& store, Backend& backend,
                 const std::function<void(double)>& progress) {
  return Binder(config, store, backend, progress).bind();
}

}  // namespace tessera
