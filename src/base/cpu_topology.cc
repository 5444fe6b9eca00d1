#include "base/cpu_topology.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <thread>

#include "base/control_group.h"

namespace tessera {
namespace {

constexpr int kMaxCpu = 1 << 16;
constexpr int kInterleave = 3, kDefault = 0;  // MPOL_* of linux/mempolicy.h

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  for (int size = 1024; size <= kMaxCpu; size *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(size));
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(size));
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; ok && cpu < size; ++cpu)
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) cpus.push_back(cpu);
    CPU_FREE(set);
    if (ok) break;
  }
  const int count = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  for (int cpu = 0; cpus.empty() && cpu < count; ++cpu) cpus.push_back(cpu);
  return cpus;
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> cpus;
  const char* at = text.c_str();
  while (*at >= '0' && *at <= '9') {
    char* end = nullptr;
    const long first = std::strtol(at, &end, 10);
    const long last = *end == '-' ? std::strtol(end + 1, &end, 10) : first;
    if (first < 0 || last < first || last >= kMaxCpu) break;
    for (long cpu = first; cpu <= last; ++cpu) cpus.push_back(static_cast<int>(cpu));
    at = *end == ',' ? end + 1 : end;
  }
  return cpus;
}

int CpuTopology::threads() const {
  const auto all = static_cast<int>(cores.size());
  // Half a processor more than a whole number of them still pays for a thread.
  return std::max(1, quota > 0 ? std::min(all, static_cast<int>(std::lround(quota))) : all);
}

CpuTopology read_cpu_topology(const std::string& root, std::vector<int> allowed) {
  if (allowed.empty()) allowed = allowed_cpus();
  std::map<int, int> node_of;
  const std::string node_folder = root + "/sys/devices/system/node/";
  for (const int node : parse_cpu_list(first_line(node_folder + "online")))
    for (const int cpu : parse_cpu_list(first_line(node_folder + "node" + std::to_string(node) + "/cpulist")))
      node_of[cpu] = node;

  CpuTopology topology;
  std::map<int, CpuTopology::Core> cores;  // by the first hardware thread, allowed or not
  for (const int cpu : allowed) {
    const std::vector<int> siblings = parse_cpu_list(first_line(
        root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list"));
    CpuTopology::Core& core = cores[siblings.empty() ? cpu : siblings.front()];
    core.cpus.push_back(cpu);
    core.node = node_of.contains(cpu) ? node_of[cpu] : 0;
  }
  std::map<int, int> nodes;
  for (auto& [first, core] : cores) {
    ++nodes[core.node];
    topology.cores.push_back(std::move(core));
  }
  std::ranges::stable_sort(topology.cores, {}, &CpuTopology::Core::node);
  topology.nodes = static_cast<int>(nodes.size());
  topology.quota = control_group_cpus(root);
  return topology;
}

ThreadPlacement place_threads(const CpuTopology& topology, int threads, bool pin) {
  ThreadPlacement placement;
  std::map<int, std::vector<const CpuTopology::Core*>> by_node;
  for (const CpuTopology::Core& core : topology.cores) by_node[core.node].push_back(&core);
  if (by_node.size() > 1)
    for (const auto& [node, cores] : by_node) placement.memory_nodes.push_back(node);
  if (!pin || threads > static_cast<int>(topology.cores.size())) return placement;
  for (size_t round = 0; static_cast<int>(placement.cpus.size()) < threads; ++round)
    for (const auto& [node, cores] : by_node)
      if (round < cores.size() && static_cast<int>(placement.cpus.size()) < threads)
        placement.cpus.push_back(cores[round]->cpus);
  return placement;
}

bool pin_thread(const std::vector<int>& cpus) {
  if (cpus.empty()) return true;
  const auto size = static_cast<size_t>(*std::ranges::max_element(cpus)) + 1;
  cpu_set_t* set = CPU_ALLOC(size);
  const size_t bytes = CPU_ALLOC_SIZE(size);
  CPU_ZERO_S(bytes, set);
  for (const int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), bytes, set);
  const bool ok = sched_setaffinity(0, bytes, set) == 0;
  CPU_FREE(set);
  return ok;
}

InterleavedMemory::InterleavedMemory(const std::vector<int>& nodes) {
  if (nodes.size() < 2) return;
  constexpr int kBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> mask;
  for (const int node : nodes) {
    mask.resize(std::max(mask.size(), static_cast<size_t>(node / kBits) + 1));
    mask[static_cast<size_t>(node / kBits)] |= 1UL << (node % kBits);
  }
  // The kernel takes one bit fewer than it is told of.
  active_ = syscall(SYS_set_mempolicy, kInterleave, mask.data(), mask.size() * kBits + 1) == 0;
}

InterleavedMemory::~InterleavedMemory() {
  if (active_) syscall(SYS_set_mempolicy, kDefault, nullptr, 0);
}

}  // namespace tessera
