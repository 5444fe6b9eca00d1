#pragma once
// Addresses that stand for memory of several backends. They belong to no memory, take arithmetic as pointers
// do, and are never used twice: steps are recorded by the addresses in them.
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "base/error.h"

namespace tessera {

/// T: what a handle stands for. Any thread.
template <typename T>
class HandleMap {
 public:
  /// A handle of `bytes` addresses; `value` goes when the last copy of it does.
  std::shared_ptr<void> add(int64_t bytes, T value) {
    const std::unique_lock lock(state_->mutex);
    const uintptr_t begin = state_->next;
    state_->next += (static_cast<uintptr_t>(bytes) / kUnit + 2) * kUnit;
    state_->entries.emplace(begin, Entry{bytes, std::move(value)});
    return {reinterpret_cast<void*>(begin), [state = state_, begin](void*) { state->erase(begin); }};
  }

  struct Place {
    T& value;
    int64_t offset;
  };
  /// The handle that `address` lies in.
  Place find(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address);
    const std::shared_lock lock(state_->mutex);
    auto it = state_->entries.upper_bound(at);
    TS_CHECK(it != state_->entries.begin(), "{} is no memory of this backend", address);
    --it;
    const auto offset = static_cast<int64_t>(at - it->first);
    TS_CHECK(offset <= it->second.bytes, "{} is no memory of this backend", address);
    return {it->second.value, offset};
  }

 private:
  static constexpr uintptr_t kUnit = 4096;
  struct Entry {
    int64_t bytes;
    T value;
  };
  struct State {
    std::shared_mutex mutex;
    std::map<uintptr_t, Entry> entries;   // nodes stay where they are
    uintptr_t next = uintptr_t{1} << 53;  // beyond what a process can map on x86-64 and arm64

    void erase(uintptr_t begin) {
      std::unique_lock lock(mutex);
      const auto node = entries.extract(begin);
      lock.unlock();  // freeing memory may take a while
    }
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace tessera
