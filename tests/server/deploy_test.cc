// deploy/ agrees with the program: what can be checked without a cluster.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

namespace {

TEST(Deploy, Check) {
  const int status =
      std::system(("'" + std::string(TESSERA_SOURCE_DIR) + "/deploy/check.sh' >/dev/null").c_str());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "run deploy/check.sh";
}

}  // namespace
