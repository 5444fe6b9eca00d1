#pragma once
// A shared library that is opened while the program runs, so that the program starts where it is missing.
#include <dlfcn.h>

#include <span>

namespace tessera::cuda {

/// Stays open: its own threads and atexit handlers may run until the process ends.
class Library {
 public:
  /// The first of `names` that the system finds. False when there is none.
  bool open(std::span<const char* const> names) {
    for (const char* name : names)
      if (handle_ == nullptr) handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return handle_ != nullptr;
  }
  /// Sets `function` to the library's `name`. False when it has none.
  template <typename F>
  bool find(F& function, const char* name) const {
    function = reinterpret_cast<F>(dlsym(handle_, name));
    return function != nullptr;
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace tessera::cuda
