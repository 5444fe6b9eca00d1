#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <vector>

namespace tessera {
namespace {

std::string first_word(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  in >> word;
  return word;
}

/// -1 for "max", for 10^18 and more (version 1 has a number near 2^63 for "none") and for what is not there.
int64_t limit_of(const std::string& path) {
  const std::string word = first_word(path);
  if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos || word.size() > 18)
    return -1;
  return std::stoll(word);
}

int64_t stat_of(const std::string& path, const std::string& wanted) {
  std::ifstream in(path);
  std::string key;
  for (int64_t value = 0; in >> key >> value;)
    if (key == wanted) return value;
  return 0;
}

/// The folders of this process's group and of those above it, in the hierarchy of `controller`; "" for
/// version 2. In a container the path may be that of the host and lead nowhere: the mount's own folder is
/// always the last.
std::vector<std::string> group_folders(const std::string& root, const std::string& controller) {
  const std::string mount = root + "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string path;
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controller.empty() ? controllers == ",,"
                           : controllers.find("," + controller + ",") != std::string::npos)
      path = line.substr(second + 1);
  }
  std::vector<std::string> folders;
  for (; path.size() > 1; path.resize(path.rfind('/'))) folders.push_back(mount + path);
  folders.push_back(mount);
  return folders;
}

}  // namespace

int64_t control_group_available_bytes(const std::string& root) {
  int64_t available = -1;
  const auto count = [&](int64_t limit, int64_t used, int64_t droppable) {
    if (limit < 0) return;
    const int64_t left = std::max<int64_t>(0, limit - std::max<int64_t>(0, used - droppable));
    available = available < 0 ? left : std::min(available, left);
  };
  for (const std::string& at : group_folders(root, ""))
    count(limit_of(at + "/memory.max"), limit_of(at + "/memory.current"),
          stat_of(at + "/memory.stat", "inactive_file") + stat_of(at + "/memory.stat", "active_file"));
  for (const std::string& at : group_folders(root, "memory"))
    count(limit_of(at + "/memory.limit_in_bytes"), limit_of(at + "/memory.usage_in_bytes"),
          stat_of(at + "/memory.stat", "total_inactive_file") +
              stat_of(at + "/memory.stat", "total_active_file"));
  return available;
}

double control_group_cpus(const std::string& root) {
  double cpus = 0;
  const auto count = [&](int64_t quota, int64_t period) {
    if (quota <= 0 || period <= 0) return;
    const double of_group = static_cast<double>(quota) / static_cast<double>(period);
    cpus = cpus == 0 ? of_group : std::min(cpus, of_group);
  };
  for (const std::string& at : group_folders(root, "")) {
    std::ifstream in(at + "/cpu.max");  // "max 100000" or "150000 100000"
    int64_t quota = 0, period = 0;
    if (in >> quota >> period) count(quota, period);
  }
  for (const std::string& at : group_folders(root, "cpu"))
    count(limit_of(at + "/cpu.cfs_quota_us"), limit_of(at + "/cpu.cfs_period_us"));
  return cpus;
}

}  // namespace tessera
