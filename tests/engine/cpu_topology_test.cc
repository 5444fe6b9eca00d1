// Cores, nodes and limits read from folders that look like /sys and /proc of other machines.
#include "base/cpu_topology.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <set>
#include <thread>

#include "base/control_group.h"
#include "base/machine.h"
#include "base/thread_pool.h"
#include "support/temp_dir.h"

namespace tessera {
namespace {

using Cpus = std::vector<int>;

struct FakeMachine {
  TempDir dir;
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(dir.path() + path).parent_path());
    dir.write(path.substr(1), text);
  }
  // Two nodes of two cores of two hardware threads: cpu and cpu + 4 are siblings; 0 and 1, 4 and 5 are on
  // node 0.
  void two_nodes() const {
    put("/sys/devices/system/node/online", "0-1\n");
    put("/sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
    put("/sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
    for (int cpu = 0; cpu < 8; ++cpu)
      put("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
          std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4) + "\n");
  }
};

TEST(CpuTopology, ListsOfProcessors) {
  EXPECT_EQ(parse_cpu_list("0-3,8\n"), (Cpus{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list("5"), Cpus{5});
  for (const char* bad : {"", "x", "3-1", "-1", "99999999999999999999"})
    EXPECT_EQ(parse_cpu_list(bad), Cpus{}) << bad;
  EXPECT_EQ(parse_cpu_list("1,2-x"), Cpus{1});
}

TEST(CpuTopology, HardwareThreadsOfACoreCountOnce) {
  const FakeMachine machine;
  machine.two_nodes();
  const CpuTopology all = read_cpu_topology(machine.dir.path(), {0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_EQ(all.cores.size(), 4U);
  EXPECT_EQ(all.nodes, 2);
  EXPECT_EQ(all.threads(), 4);
  EXPECT_EQ(all.cores[0].cpus, (Cpus{0, 4}));
  EXPECT_EQ(all.cores[3].cpus, (Cpus{3, 7}));
  EXPECT_EQ(all.cores[3].node, 1);
  // taskset to two siblings and one more: two cores, of which only the allowed threads are used
  const CpuTopology some = read_cpu_topology(machine.dir.path(), {1, 5, 6});
  ASSERT_EQ(some.cores.size(), 2U);
  EXPECT_EQ(some.cores[0].cpus, (Cpus{1, 5}));
  EXPECT_EQ(some.cores[1].cpus, Cpus{6});
}

TEST(CpuTopology, AMachineThatSaysNothingHasOneCoreAProcessor) {
  const FakeMachine machine;
  const CpuTopology t = read_cpu_topology(machine.dir.path(), {0, 1, 2});
  EXPECT_EQ(t.cores.size(), 3U);
  EXPECT_EQ(t.nodes, 1);
  EXPECT_EQ(t.quota, 0);
}

TEST(CpuTopology, ThreadsGoToNodesInTurnOneToACore) {
  const FakeMachine machine;
  machine.two_nodes();
  const CpuTopology t = read_cpu_topology(machine.dir.path(), {0, 1, 2, 3, 4, 5, 6, 7});
  const ThreadPlacement pinned = place_threads(t, 3, true);
  EXPECT_EQ(pinned.cpus, (std::vector<Cpus>{{0, 4}, {2, 6}, {1, 5}}));
  EXPECT_EQ(pinned.memory_nodes, (Cpus{0, 1}));
  EXPECT_TRUE(place_threads(t, 3, false).cpus.empty());
  EXPECT_TRUE(place_threads(t, 5, true).cpus.empty()) << "more threads than cores";
  const CpuTopology one_node = read_cpu_topology(machine.dir.path(), {0, 1, 4, 5});
  EXPECT_EQ(one_node.nodes, 1);
  EXPECT_TRUE(place_threads(one_node, 2, true).memory_nodes.empty());
}

TEST(ControlGroup, TheSmallestLimitOfTheGroupAndThoseAboveItHolds) {
  const FakeMachine machine;
  const std::string root = machine.dir.path();
  machine.put("/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n");
  EXPECT_EQ(control_group_available_bytes(root), -1);
  EXPECT_EQ(available_memory_bytes(root), int64_t{8000000} * 1024);
  machine.put("/proc/self/cgroup", "0::/system.slice/tessera.service\n");
  machine.put("/sys/fs/cgroup/system.slice/tessera.service/memory.max", "max\n");
  machine.put("/sys/fs/cgroup/system.slice/tessera.service/cpu.max", "max 100000\n");
  machine.put("/sys/fs/cgroup/system.slice/memory.max", "4000000000\n");
  machine.put("/sys/fs/cgroup/system.slice/memory.current", "1500000000\n");
  machine.put("/sys/fs/cgroup/system.slice/memory.stat",
              "anon 7\ninactive_file 400000000\nactive_file 100000000\n");
  machine.put("/sys/fs/cgroup/system.slice/cpu.max", "250000 100000\n");
  EXPECT_EQ(control_group_available_bytes(root), 4000000000 - 1500000000 + 500000000);
  EXPECT_EQ(available_memory_bytes(root), 3000000000);
  EXPECT_EQ(control_group_cpus(root), 2.5);
  machine.two_nodes();
  EXPECT_EQ(read_cpu_topology(root, {0, 1, 2, 3}).threads(), 3) << "2.5 processors' worth of time";
  // In a container the path is the host's, and the mount has the container's own files.
  machine.put("/proc/self/cgroup", "0::/docker/0123456789\n");
  machine.put("/sys/fs/cgroup/memory.max", "2000000000\n");
  machine.put("/sys/fs/cgroup/memory.current", "3000000000\n");
  EXPECT_EQ(control_group_available_bytes(root), 0) << "over its limit";
}

TEST(ControlGroup, VersionOne) {
  const FakeMachine machine;
  machine.put("/proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n");
  machine.put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(control_group_available_bytes(machine.dir.path()), -1) << "its number for none";
  machine.put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
  machine.put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "400000\n");
  machine.put("/sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 100000\n");
  machine.put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(control_group_available_bytes(machine.dir.path()), 700000);
  EXPECT_EQ(control_group_cpus(machine.dir.path()), 0);
  machine.put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "50000\n");
  machine.put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(control_group_cpus(machine.dir.path()), 0.5);
}

TEST(ThreadPool, WorkersStayWhereTheyArePut) {
  const CpuTopology here = read_cpu_topology();
  ASSERT_FALSE(here.cores.empty());
  const Cpus last = {here.cores.back().cpus.back()};
  cpu_set_t before{};
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  ThreadPool pool(2, {.cpus = {{}, last}, .memory_nodes = {}});
  std::atomic<int> workers{0};
  std::set<int> seen;
  pool.run(2, [&](int64_t, int worker) {
    ++workers;
    while (workers < 2) std::this_thread::yield();  // one item each
    if (worker != 1) return;
    cpu_set_t set{};
    sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) seen.insert(cpu);
  });
  EXPECT_EQ(seen, std::set<int>(last.begin(), last.end()));
  cpu_set_t after{};
  sched_getaffinity(0, sizeof after, &after);
  EXPECT_TRUE(CPU_EQUAL(&before, &after)) << "the caller's thread is left alone";
}

}  // namespace
}  // namespace tessera
