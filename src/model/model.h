#pragma once
// The model as loaded: weights bound to layers, in a backend's layout. Shapes: [out, in] for matrices.
#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "format/tensor_file.h"
#include "model/config.h"

namespace tessera {

struct Layer {
  HeadShape shape;
  int rope = 0;                     // index into Model::rope_frequency
  Weight attn_norm;                 // [d]
  Weight w_qkv;                     // [(q (+ k (+ v))) * head_dim, d]
  Weight q_norm, k_norm;            // [head_dim]; a drafter has no k_norm
  Weight w_o;                       // [d, q_heads * head_dim]
  Weight post_attn_norm, ffn_norm;  // [d]
  Weight w_gate_up;                 // [2 * ffn, d], each half padded to 16 rows
  Weight w_down;                    // [d, ffn]
  Weight post_ffn_norm;             // [d]
  Weight next_norm;                 // [d] the next layer's attn_norm, or the final norm
  float scale = 1.0F;               // layer_scalar
};

struct VisionPath {
  Weight ln1, ln1_bias;            // [6912]
  Weight patch_dense, patch_bias;  // [mm, 6912], [mm]
  Weight ln2, ln2_bias;            // [mm]
  Weight positions;                // [positions, 2 * mm]
  Weight pos_norm, pos_norm_bias;  // [mm]
  Weight projection;               // [d, mm]
};

/// What a drafter has before and after its layers (docs/spec/mtp.md §2).
struct DraftHead {
  Weight pre_projection;                // [d, 2 * target's d]
  Weight post_projection;               // [target's d, d]
  Weight centroids;                     // [centroids, d], or none
  std::vector<int32_t> token_ordering;  // [vocab] tokens by cluster
};

struct Model {
  ModelConfig config;
  Weight tok_embed;  // [vocab, d], tied with the LM head
  std::vector<Layer> layers;
  std::vector<Weight> rope_frequency;  // [1, head_dim / 2] for each kind and width of layer
  VisionPath vision;                   // without weights when the checkpoint has none
  Weight audio_projection;             // [d, samples]
  DraftHead draft;                     // without weights but of a drafter
  int64_t text_bytes = 0;              // of embedding and layers as the backend holds them: what a pass reads

  bool has_vision() const { return static_cast<bool>(vision.projection); }
  bool has_audio() const { return static_cast<bool>(audio_projection); }
};

/// Finds every tensor of the geometry in `store`, checks its shape against the config and packs it into
/// `backend`. Throws Error(kBadModel) naming file, tensor, found, expected, remedy. `progress` gets 0 … 1.
Model bind_model(const ModelConfig& config, const TensorStore& store, Backend& backend,
                 const std::function<void(double)>& progress);

}  // namespace tessera
