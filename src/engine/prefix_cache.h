#pragma once
// Prefixes of conversations with their K and V, in memory and on disk: a tree of blocks of 16 positions, so
// that conversations which begin alike share what they share. Full layers are kept from the first position
// on, sliding layers only about the ends of turns, where a conversation goes on.
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <thread>

#include "engine/cache_files.h"

namespace tessera {

/// Used by one thread; a thread of its own writes files.
class PrefixCache {
 public:
  struct Options {
    int64_t ram_bytes = 0;
    std::string directory;  // "": none on disk
    int64_t disk_bytes = 0;
    uint64_t model_key = 0;
    int64_t full_bytes = 0, sliding_bytes = 0;  // of a block (KvCache::block_bytes)
    int64_t window = 0;
  };
  /// Throws Error(kIo) when the folder cannot be made.
  explicit PrefixCache(const Options& options);
  /// Waits until everything is on disk.
  ~PrefixCache();

  using ReadBlock = std::function<void(int64_t index, bool sliding, uint8_t* to)>;
  using WriteBlock = std::function<void(int64_t index, bool sliding, const uint8_t* from)>;

  /// Keeps positions [0, keys.size()): K and V of sliding layers from `sliding_begin` on. `read` gives blocks
  /// that are not here already.
  void keep(std::span<const uint64_t> keys, int64_t sliding_begin, const ReadBlock& read);
  /// The longest prefix of `keys` that a sequence can go on from. `round_down`: to where it may (no vision
  /// block cut).
  int64_t find(std::span<const uint64_t> keys, const std::function<int64_t(int64_t)>& round_down);
  /// Hands over the blocks of the prefix [0, end) that find() gave. False when a file turned out to be
  /// damaged: it is gone then, and what was handed over is to be forgotten.
  bool load(std::span<const uint64_t> keys, int64_t end, const WriteBlock& write);

  int64_t ram_bytes() const { return ram_bytes_; }
  int64_t disk_bytes() const { return disk_bytes_; }
  int64_t blocks() const { return blocks_; }

 private:
  struct Node;
  struct Payload {
    Node* node = nullptr;
    bool sliding = false;
    std::shared_ptr<const KvBytes> bytes;  // null: not in memory
    bool on_disk = false;                  // or on its way there
    uint64_t used = 0;                     // larger: later
    bool here() const { return bytes || on_disk; }
  };
  using Order = std::map<uint64_t, Payload*>;  // by `used`
  struct Job {
    CacheFile file;
    std::shared_ptr<const KvBytes> bytes;  // null: remove the file
  };

  int64_t block_bytes(const Payload& p) const;
  int64_t sliding_first(int64_t end) const;
  std::vector<Node*> path(std::span<const uint64_t> keys, int64_t& length) const;
  Node& node_for(Node& parent, std::span<const uint64_t> keys);
  void touch(Payload& payload);
  void touch(const std::vector<Node*>& nodes, size_t first_sliding);
  void store(Payload& payload, const ReadBlock& read);
  bool fetch(Payload& payload);
  void drop_bytes(Payload& payload);
  void drop_file(Payload& payload);
  void drop(Payload& payload);
  void drop_tree(Node& node);
  void trim();
  void read_directory();
  void write_files();
  void forget_failed();
  static CacheFile file_of(const Payload& payload);

  Options options_;
  std::unique_ptr<CacheFiles> files_;
  std::unique_ptr<Node> root_;
  // A block is used after those that follow it: what is oldest has no followers left.
  Order in_ram_, on_disk_;
  uint64_t uses_ = 0;
  std::mt19937_64 ids_;
  int64_t ram_bytes_ = 0, disk_bytes_ = 0, blocks_ = 0;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // the first is being carried out
  int64_t queued_bytes_ = 0;
  std::vector<CacheFile> failed_;
  bool stop_ = false;
  std::thread writer_;
};

}  // namespace tessera
