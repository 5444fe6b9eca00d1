#include "engine/prefix_cache.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "backend/kv_layer.h"
#include "base/error.h"

namespace tessera {
namespace {

// Bytes that wait to be written; beyond them blocks stay in memory only.
constexpr int64_t kMaxQueuedBytes = int64_t{1} << 30;

std::span<const uint64_t> block_of(std::span<const uint64_t> keys, int64_t index) {
  const auto begin = static_cast<size_t>(index * kKvBlock);
  return keys.subspan(begin, std::min<size_t>(kKvBlock, keys.size() - begin));
}

size_t common(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<int64_t>(n), b.begin()).first -
                             a.begin());
}

int64_t blocks_in(int64_t positions) {
  return (positions + kKvBlock - 1) / kKvBlock;
}

}  // namespace

// Up to 16 positions; a shorter one has no children. `full` is always here, but for the root's.
struct PrefixCache::Node {
  uint64_t id = 0;
  int64_t begin = -kKvBlock;
  std::vector<uint64_t> keys;
  Node* parent = nullptr;
  std::vector<std::unique_ptr<Node>> children;
  Payload full, sliding;
};

PrefixCache::PrefixCache(const Options& options)
    : options_(options), root_(std::make_unique<Node>()), ids_(std::random_device()()) {
  if (options.directory.empty() || options.disk_bytes == 0) return;
  files_ = std::make_unique<CacheFiles>(options.directory, options.model_key, options.full_bytes,
                                        options.sliding_bytes);
  read_directory();
  writer_ = std::thread([this] { write_files(); });
}

PrefixCache::~PrefixCache() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

// ------------------------------------------------------------------------------------------------ the tree

int64_t PrefixCache::sliding_first(int64_t end) const {
  return std::max<int64_t>(0, end - options_.window + 1) / kKvBlock;
}

std::vector<PrefixCache::Node*> PrefixCache::path(std::span<const uint64_t> keys, int64_t& length) const {
  std::vector<Node*> nodes;
  length = 0;
  for (Node* at = root_.get(); length % kKvBlock == 0 && length < static_cast<int64_t>(keys.size());) {
    const auto rest = block_of(keys, length / kKvBlock);
    Node* next = nullptr;
    size_t most = 0;
    for (const auto& child : at->children)
      if (const size_t n = common(child->keys, rest); n > most) most = n, next = child.get();
    if (next == nullptr) break;
    nodes.push_back(at = next);
    length += static_cast<int64_t>(most);
  }
  return nodes;
}

// The child with these keys, or with more; a shorter one that was the end of a conversation makes way.
PrefixCache::Node& PrefixCache::node_for(Node& parent, std::span<const uint64_t> keys) {
  for (const auto& child : parent.children)
    if (common(child->keys, keys) == keys.size()) return *child;
  std::vector<Node*> shorter;
  for (const auto& child : parent.children)
    if (common(child->keys, keys) == child->keys.size()) shorter.push_back(child.get());
  for (Node* node : shorter) drop_tree(*node);
  Node& node = *parent.children.emplace_back(std::make_unique<Node>());
  node.id = std::max<uint64_t>(1, ids_());
  node.begin = parent.begin + kKvBlock;
  node.keys.assign(keys.begin(), keys.end());
  node.parent = &parent;
  node.full = {&node, false, {}, false, 0};
  node.sliding = {&node, true, {}, false, 0};
  ++blocks_;
  return node;
}

void PrefixCache::drop_tree(Node& node) {
  while (!node.children.empty()) drop_tree(*node.children.back());
  drop(node.full);
  drop(node.sliding);
  --blocks_;
  std::erase_if(node.parent->children, [&](const auto& child) { return child.get() == &node; });
}

// ------------------------------------------------------------------------------------------------ payloads

int64_t PrefixCache::block_bytes(const Payload& p) const {
  return p.sliding ? options_.sliding_bytes : options_.full_bytes;
}

CacheFile PrefixCache::file_of(const Payload& p) {
  return {p.node->id, p.node->parent->id, p.sliding, p.node->begin, p.node->keys};
}

void PrefixCache::touch(Payload& p) {
  if (p.bytes) in_ram_.erase(p.used);
  if (p.on_disk) on_disk_.erase(p.used);
  p.used = ++uses_;
  if (p.bytes) in_ram_.emplace(p.used, &p);
  if (p.on_disk) on_disk_.emplace(p.used, &p);
}

void PrefixCache::touch(const std::vector<Node*>& nodes, size_t first_sliding) {
  for (size_t i = nodes.size(); i-- > first_sliding;)
    if (nodes[i]->sliding.here()) touch(nodes[i]->sliding);
  for (size_t i = nodes.size(); i-- > 0;) touch(nodes[i]->full);
}

void PrefixCache::store(Payload& p, const ReadBlock& read) {
  KvBytes bytes(static_cast<size_t>(block_bytes(p)));
  read(p.node->begin / kKvBlock, p.sliding, bytes.data());
  p.bytes = std::make_shared<const KvBytes>(std::move(bytes));
  ram_bytes_ += block_bytes(p);
  if (files_) {
    const std::lock_guard lock(mutex_);
    if (queued_bytes_ < kMaxQueuedBytes) {
      jobs_.push_back({file_of(p), p.bytes});
      queued_bytes_ += block_bytes(p);
      p.on_disk = true;
      disk_bytes_ += files_->file_bytes(p.sliding);
      changed_.notify_all();
    }
  }
  touch(p);
}

bool PrefixCache::fetch(Payload& p) {
  if (p.bytes) return true;
  if (!p.on_disk) return false;
  {
    // What is still to be written is taken from there: waiting for the disk would hold up every conversation.
    const std::lock_guard lock(mutex_);
    for (const Job& job : jobs_)
      if (job.bytes && job.file.id == p.node->id && job.file.sliding == p.sliding) p.bytes = job.bytes;
  }
  if (!p.bytes) {
    KvBytes bytes = files_->read(file_of(p));
    if (bytes.empty()) return false;
    p.bytes = std::make_shared<const KvBytes>(std::move(bytes));
  }
  ram_bytes_ += block_bytes(p);
  touch(p);
  return true;
}

void PrefixCache::drop_bytes(Payload& p) {
  if (!p.bytes) return;
  in_ram_.erase(p.used);
  p.bytes.reset();
  ram_bytes_ -= block_bytes(p);
}

void PrefixCache::drop_file(Payload& p) {
  if (!p.on_disk) return;
  on_disk_.erase(p.used);
  p.on_disk = false;
  disk_bytes_ -= files_->file_bytes(p.sliding);
  const std::lock_guard lock(mutex_);
  jobs_.push_back({file_of(p), nullptr});
  changed_.notify_all();
}

void PrefixCache::drop(Payload& p) {
  drop_bytes(p);
  drop_file(p);
}

// What is in neither place is gone, and what follows it with it.
void PrefixCache::trim() {
  const auto settle = [this](Payload& p) {
    if (!p.here() && !p.sliding) drop_tree(*p.node);
  };
  while (ram_bytes_ > options_.ram_bytes && !in_ram_.empty()) {
    Payload& p = *in_ram_.begin()->second;
    drop_bytes(p);
    settle(p);
  }
  while (disk_bytes_ > options_.disk_bytes && !on_disk_.empty()) {
    Payload& p = *on_disk_.begin()->second;
    drop_file(p);
    settle(p);
  }
}

// ------------------------------------------------------------------------------------------------ use

void PrefixCache::keep(std::span<const uint64_t> keys, int64_t sliding_begin, const ReadBlock& read) {
  forget_failed();
  std::vector<Node*> nodes;
  const int64_t blocks = blocks_in(static_cast<int64_t>(keys.size()));
  size_t first_sliding = static_cast<size_t>(blocks);
  for (int64_t i = 0; i < blocks; ++i) {
    Node& node = node_for(nodes.empty() ? *root_ : *nodes.back(), block_of(keys, i));
    nodes.push_back(&node);
    if (!node.full.here()) store(node.full, read);
    if (node.begin < sliding_begin) continue;
    if (!node.sliding.here()) store(node.sliding, read);
    first_sliding = std::min(first_sliding, static_cast<size_t>(i));
  }
  touch(nodes, first_sliding);
  trim();
}

int64_t PrefixCache::find(std::span<const uint64_t> keys, const std::function<int64_t(int64_t)>& round_down) {
  forget_failed();
  int64_t length = 0;
  const std::vector<Node*> nodes = path(keys, length);
  for (size_t i = nodes.size(); i-- > 0;) {
    const int64_t block_end = nodes[i]->begin + static_cast<int64_t>(nodes[i]->keys.size());
    const int64_t end = round_down(std::min(length, block_end));
    if (end <= 0) return 0;
    const auto here = [](const Node* n) { return n->sliding.here(); };
    if (std::all_of(nodes.begin() + sliding_first(end), nodes.begin() + blocks_in(end), here)) return end;
  }
  return 0;
}

bool PrefixCache::load(std::span<const uint64_t> keys, int64_t end, const WriteBlock& write) {
  int64_t length = 0;
  std::vector<Node*> nodes = path(keys.first(static_cast<size_t>(end)), length);
  TS_CHECK(length == end, "{} of {} positions are in the cache", length, end);
  const auto hand_over = [&](size_t i, bool sliding) {
    Payload& p = sliding ? nodes[i]->sliding : nodes[i]->full;
    if (fetch(p)) {
      write(static_cast<int64_t>(i), sliding, p.bytes->data());
      return true;
    }
    if (sliding)
      drop(p);
    else
      drop_tree(*nodes[i]);
    return false;
  };
  const auto first_sliding = static_cast<size_t>(sliding_first(end));
  for (size_t i = 0; i < nodes.size(); ++i)
    if (!hand_over(i, false) || (i >= first_sliding && !hand_over(i, true))) return false;
  touch(nodes, first_sliding);
  trim();
  return true;
}

// ------------------------------------------------------------------------------------------------ disk

// Blocks whose predecessor is missing are of no use.
void PrefixCache::read_directory() {
  std::vector<CacheFile> files = files_->scan();
  std::sort(files.begin(), files.end(), [](const CacheFile& a, const CacheFile& b) {
    // Longer ones first: a shorter one with the same keys says nothing more.
    return std::tuple(a.sliding, a.begin, b.keys.size()) < std::tuple(b.sliding, b.begin, a.keys.size());
  });
  std::unordered_map<uint64_t, Node*> by_id = {{0, root_.get()}};
  std::vector<std::pair<int64_t, Payload*>> found;
  std::unordered_map<Node*, int64_t> times;
  for (const CacheFile& file : files) {
    Node* node = nullptr;
    if (file.sliding) {
      const auto at = by_id.find(file.id);
      if (at != by_id.end() && at->second->keys == file.keys && !at->second->sliding.here())
        node = at->second;
    } else if (const auto parent = by_id.find(file.parent);
               parent != by_id.end() && !by_id.contains(file.id) &&
               parent->second->begin + kKvBlock == file.begin &&
               (parent->second == root_.get() || parent->second->keys.size() == kKvBlock)) {
      const int64_t before = blocks_;
      node = &node_for(*parent->second, file.keys);
      if (blocks_ == before) node = nullptr;  // another file has these keys already
      if (node != nullptr) node->id = file.id, by_id[file.id] = node;
    }
    if (node == nullptr) {
      files_->remove(file.id, file.sliding);
      continue;
    }
    Payload& p = file.sliding ? node->sliding : node->full;
    p.on_disk = true;
    disk_bytes_ += files_->file_bytes(p.sliding);
    found.emplace_back(file.time, &p);
    times[node] = std::max(times[node], file.time);
  }
  // A block was last used when any that follows it was.
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.second->node->begin > b.second->node->begin; });
  for (auto& [time, p] : found)
    if (p->node->parent != root_.get())
      times[p->node->parent] = std::max(times[p->node->parent], times[p->node]);
  for (auto& [time, p] : found)
    if (!p->sliding) time = times[p->node];
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [time, p] : found) touch(*p);
  trim();
}

void PrefixCache::write_files() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job& job = jobs_.front();  // stays where it is while others are pushed
    lock.unlock();
    bool failed = false;
    try {
      if (job.bytes)
        files_->write(job.file, *job.bytes);
      else
        files_->remove(job.file.id, job.file.sliding);
    } catch (const std::exception&) {
      failed = true;
    }
    lock.lock();
    if (failed) failed_.push_back(job.file);
    if (job.bytes) queued_bytes_ -= static_cast<int64_t>(job.bytes->size());
    jobs_.pop_front();
  }
}

// What could not be written (a full disk) is in memory only, or gone.
void PrefixCache::forget_failed() {
  std::vector<CacheFile> failed;
  {
    const std::lock_guard lock(mutex_);
    failed.swap(failed_);
  }
  for (const CacheFile& file : failed)
    for (const auto& entry : on_disk_) {
      Payload* const p = entry.second;  // the entry goes with its file
      if (p->node->id != file.id || p->sliding != file.sliding) continue;
      drop_file(*p);
      if (!p->here() && !p->sliding) drop_tree(*p->node);
      break;
    }
}

}  // namespace tessera
