#pragma once
// What developers and packagers use: parity probe, measurements, synthetic weights, other file formats.
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tessera/engine.h"

namespace tessera {

/// The parity probe behind `tessera trace`: runs `parts` and writes what the model computed as safetensors.
struct TraceOptions {
  std::string parts_path;  // JSON list: "text" | ["image", file, budget] | ["audio", file] | ["ids", [..]]
  std::string out_path;
  int greedy_tokens = 0;   // suppressed tokens never chosen, end tokens ignored
  bool last_only = false;  // logits of the last row only
};
void trace(const Engine& engine, const TraceOptions& options);

/// What loading a model takes, against what there is. Bytes. Weights that are mapped from a file of packed
/// weights count in full: the system may drop such pages and read them again, but then every token waits for
/// the disk.
struct MemoryNeed {
  int64_t context_tokens = 0;  // of the KV cache
  int64_t weight_bytes = 0, kv_bytes = 0;
  int64_t work_bytes = 0;       // activations of the longest step, logits, the program itself
  int64_t available_bytes = 0;  // of this machine and this process's control group; 0: unknown, then all fits
  int64_t largest_context = 0;  // that fits, in tokens; 0: none
  int64_t total_bytes() const { return weight_bytes + kv_bytes + work_bytes; }
  bool fits() const;
  std::string arithmetic() const;  // "weights 6912 MiB + … = … MiB, this machine has … MiB available"
};
/// With `options` as Engine::load takes them (backend, context, chunk, kv), which refuses what does not fit.
/// `available_bytes` -1: what this machine has now.
MemoryNeed memory_need(const ModelInfo& info, const EngineOptions& options = {},
                       int64_t available_bytes = -1);

/// What this machine can do, measured: the best of several short bursts, a few seconds in all.
struct MachineLimits {
  struct Rate {
    std::string unit;                        // the instruction: "vpdpbusd zmm"; "" where the CPU has none
    double one_thread = 0, all_threads = 0;  // per second; a multiply and an add are two operations
  };
  int threads = 0;                // 0: the CPU was not measured
  int64_t read_buffer_bytes = 0;  // what was read: several times the last-level cache
  Rate read_bytes, int8_ops, f32_ops, bf16_ops;
  std::string card;                               // "NVIDIA H200"; "": none was measured
  double card_read_bytes = 0, card_bf16_ops = 0;  // per second
};
/// `threads` 0: one per core. `isa` as in EngineOptions: any but "" and "amx" leaves the tile unit out.
/// Throws kTooLarge when there is no memory to read from.
MachineLimits measure_limits(int threads = 0, const std::string& isa = "");
/// Of the card alone. Throws kDevice when there is none.
MachineLimits measure_card_limits(int device = 0);
/// Why no card can be used; "" when one can.
std::string why_no_card();

/// One thing to time. Tokens are pseudo-random, nothing is sampled, and end tokens mean nothing.
struct BenchTest {
  enum class Kind {
    kPrompt,    // `tokens` in chunks, nothing of them in the KV cache before
    kGenerate,  // `tokens` passes of one row, one after the other
    kRows,      // one pass of `tokens` rows, logits of all: what checking a drafter's tokens costs
    kImage,     // a picture of `tokens` soft tokens (random patches) and 16 of text, to the first token
  };
  Kind kind = Kind::kPrompt;
  int tokens = 0;
  int depth = 0;  // tokens in the KV cache before the clock starts
};
struct BenchOptions {
  BenchTest test;
  int repeats = 5;                          // after one run that is not counted
  std::function<void(double)> on_progress;  // 0 … 1, from the calling thread
};
struct BenchRun {
  BenchTest test;
  std::string backend;          // "cpu avx512, 2 threads"
  std::vector<double> seconds;  // of each repeat
  double operations = 0;     // of one repeat: two for each parameter of a matrix and row that it multiplies
  int64_t weight_bytes = 0;  // of the weights that one pass over text reads
  bool integer_products =
      false;             // weights are held in less than 12 bits a value: their products are of bytes
  bool on_card = false;  // limits are the card's
};
/// Waits for its turn on the engine. Throws kBadRequest for a test that cannot be run as stated.
BenchRun bench(const Engine& engine, const BenchOptions& options);

/// A step of a test, taken apart: what each kind of operation must move, each byte once a call, and how long
/// it takes.
struct OperationBenchRun {
  struct Kind {
    std::string name = {};  // "gate, up"
    int64_t calls = 0;      // in the step, as all that follows
    int64_t weight_bytes = 0, kv_read_bytes = 0, kv_written_bytes = 0;
    int64_t read_bytes = 0, written_bytes = 0;  // of activations
    double operations = 0;                      // of products: as BenchRun
    double seconds = 0;
    int64_t bytes() const {
      return weight_bytes + kv_read_bytes + kv_written_bytes + read_bytes + written_bytes;
    }
    /// All counts, bytes and seconds of another are added; the name stays.
    Kind& operator+=(const Kind& other);
  };
  BenchRun step;            // of whole steps, as they always run
  std::vector<Kind> kinds;  // in the order of a step
  /// Of a step without operations: its plan, its launch and the wait. On a card, where operations overlap
  /// with what is around them, each kind is timed alone, in steps of its calls only, less this; else each
  /// call is timed in its step, and this is 0.
  double empty_step_seconds = 0;
};
/// options.test: kGenerate is one step of one row, whatever its tokens; kPrompt and kRows are one step of all
/// of theirs; kImage is refused. Waits for its turn. Throws as bench(), kBadRequest also where several
/// backends compute as one (gpus, gpu_layers), kTooLarge for more rows than a step has.
OperationBenchRun bench_operations(const Engine& engine, const BenchOptions& options);

/// What drafting gives when a draft is accepted with a given probability, whatever the drafter says: real
/// drafting and verifying steps, made-up acceptance.
struct DraftBenchOptions {
  std::vector<double> shares = {0, 0.3, 0.6, 0.9};
  std::vector<int> drafts = {0, 1, 2, 3, 4, 5, 6, 7, 8, -1};  // a step; -1: chosen as in a reply
  int tokens = 128;                                           // of each measurement
  int depth = 0;  // tokens in the KV cache before the clock starts
  std::function<void(double)> on_progress;
};
struct DraftBenchRun {
  struct Point {
    double share = 0;
    int drafts = 0;
    double token_ms = 0;
    /// A step costs what one row does, a draft its weights' bytes at the rate of a plain step.
    double ideal_ms = 0;
    double drafted = 0;  // a step
  };
  std::string backend;
  double drafter_share = 0;  // of the model's bytes a pass
  std::vector<Point> points;
};
/// Waits for its turn. Throws kBadRequest without a drafter, kTooLarge for more tokens than the context.
DraftBenchRun bench_drafts(const Engine& engine, const DraftBenchOptions& options);

/// How far the next-token distributions of one model are from another's, over the positions of a text.
struct CompareOptions {
  std::string text;
  int window_tokens = 512;  // the text is cut; each window starts with <bos> and is read on its own
  int max_positions = 4096;
  std::function<void(double)> on_progress;  // 0 … 1, from the calling thread
};
struct Comparison {
  int positions = 0;
  double kl_mean = 0, kl_median = 0, kl_p99 = 0, kl_max = 0;  // of `other` from `reference`, in nats
  double same_top = 0;                                    // share of positions with the same likeliest token
  double reference_perplexity = 0, other_perplexity = 0;  // of the text's own tokens
};
/// The text is tokenized by `reference`. Throws kBadRequest when the vocabularies differ in size or the text
/// is too short.
Comparison compare(const Engine& reference, const Engine& other, const CompareOptions& options);

/// Writes a synthetic checkpoint (deterministic weights from tensor names) as a Hugging Face directory,
/// streaming.
struct SynthOptions {
  std::string directory;
  int layers = 48;
  bool tiny = false;       // a small geometry instead of the 12B's
  bool assistant = false;  // the drafter that goes with it; `layers` is not used
  int threads = 0;
  std::function<void(double)> on_progress;
};
void synthesize(const SynthOptions& options);

/// What quantize() and convert() wrote.
struct WriteReport {
  int64_t bytes = 0;
  std::vector<TensorCount> dtypes;  // most bytes first
  std::vector<std::string> notes;   // for people: what was not written as asked for, and why
};

/// Writes a model as GGUF version 3 for this engine and llama.cpp, streaming: memory stays at a few hundred
/// megabytes. Files get their names when they are whole. Throws kIo, kBadModel, kBadRequest (options, or a
/// geometry that GGUF has no keys for), kTooLarge (disk space, with the numbers).
struct QuantizeOptions {
  std::string model;   // Hugging Face or MLX directory, or GGUF file
  std::string mmproj;  // the vision and audio tensors of a GGUF model; "": none
  std::string out;     // GGUF file to write
  std::string
      mmproj_out;  // GGUF file for the vision and audio tensors, kept in bfloat16 or float32; "": none
  /// Of the matrices: "q8_0", "q6_k", "q4_k", "q4_0", "bf16" or "f32"; the embedding is Q6_K with q4_k and
  /// q4_0.
  std::string type;
  int threads = 0;
  std::function<void(double)> on_progress;
};
WriteReport quantize(const QuantizeOptions& options);

/// Writes a model in another container. Every tensor keeps its values where the target has a form for them:
/// plain numbers everywhere; of GGUF's blocks, all but Q6_K and IQ4_NL have one in MLX; of MLX's affine
/// groups, 2 to 5 bits have one in GGUF, 8 bits when centred. The others are rounded to `type`, or quantised
/// when `type` or `bits` says so; the report tells. Throws as quantize().
struct ConvertOptions {
  std::string model, mmproj;  // as above
  std::string to;             // "hf", "mlx" or "gguf"
  std::string out;            // directory to write (made if missing), or GGUF file
  std::string mmproj_out;     // gguf only, as above
  std::string type;  // of what has no exact form: "" (bf16), "bf16", "f32"; gguf: also quantize()'s others
  int bits = 0,
      group = 0;  // mlx only: quantise every matrix to 4 or 8 bits in groups of 32, 64 or 128; 0: do not
  int threads = 0;
  std::function<void(double)> on_progress;
};
WriteReport convert(const ConvertOptions& options);

}  // namespace tessera
