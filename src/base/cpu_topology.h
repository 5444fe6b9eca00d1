#pragma once
// Which processors this process may use, and how they share cores and memory. Linux: /sys, sched_getaffinity
// and control groups.
#include <string>
#include <vector>

namespace tessera {

struct CpuTopology {
  struct Core {
    std::vector<int> cpus;  // hardware threads that this process may use, ascending
    int node = 0;           // of memory
  };
  std::vector<Core> cores;  // by node, then by first cpu; at least one
  int nodes = 1;            // of memory, among these cores
  double quota = 0;         // processors' worth of time that the control group allows; 0: no limit

  /// Threads that each have a core, and time, of their own; at least 1.
  int threads() const;
};

/// `root`: "" or, for tests, a folder with sys/ and proc/. `allowed`: processors, ascending; empty: those of
/// the calling thread. What cannot be read counts as one core a processor and one node.
CpuTopology read_cpu_topology(const std::string& root = "", std::vector<int> allowed = {});

/// "0-3,8" → 0 1 2 3 8; what does not parse ends the list.
std::vector<int> parse_cpu_list(const std::string& text);

/// Where the threads of a pool run and what they take memory from. Empty lists: the system decides.
struct ThreadPlacement {
  std::vector<std::vector<int>> cpus;  // of worker i; [0], the caller's, is left to it
  std::vector<int> memory_nodes;       // pages that a worker is first to touch go to these in turn
};

/// One core for each thread, all nodes used alike; memory over all nodes when there are several. Without
/// `pin`, or with more threads than cores, the system places the threads.
ThreadPlacement place_threads(const CpuTopology& topology, int threads, bool pin);

/// Keeps the calling thread to these processors; false when the system refuses. Empty: nothing to do.
bool pin_thread(const std::vector<int>& cpus);

/// From here to its end the calling thread's first touch of a page, of a mapped file too, takes memory from
/// these nodes in turn. Fewer than two: nothing to do. A system that refuses is left as it is.
class InterleavedMemory {
 public:
  explicit InterleavedMemory(const std::vector<int>& nodes);
  ~InterleavedMemory();
  InterleavedMemory(const InterleavedMemory&) = delete;
  InterleavedMemory& operator=(const InterleavedMemory&) = delete;

 private:
  bool active_ = false;
};

}  // namespace tessera
