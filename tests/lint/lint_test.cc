// The house rules that a compiler does not check: who includes whom, file lengths, words and paths that must
// not be in the tree. The patterns are put together from pieces, so that this file keeps to them too.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = TESSERA_SOURCE_DIR;
constexpr int kMaxLines = 400, kMaxKernelLines = 700, kMaxTestLines = 500;

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream in(file);
  EXPECT_TRUE(in.good()) << "cannot read " << file;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// What people write, of the whole tree: not built, fetched, generated or binary files.
std::vector<fs::path> written_files() {
  const std::set<std::string> skipped = {".git",   "build", "fixtures", "corpus",       "models",
                                         ".cache", "data",  "out",      "node_modules", "__pycache__"};
  const std::set<std::string> endings = {".cc", ".h",    ".cu", ".cuh", ".py",    ".sh",  ".ts", ".txt",
                                         ".md", ".json", ".c",  ".js",  ".cmake", ".yml", ".map"};
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(kRoot); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory() && skipped.contains(name)) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file() &&
               (endings.contains(it->path().extension().string()) || name == "test" || name == "tessera" ||
                name == "run" || name == ".clang-tidy")) {
      files.push_back(it->path());
    }
  }
  return files;
}

std::vector<fs::path> sources(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& file : written_files()) {
    const std::string ending = file.extension().string(), path = fs::relative(file, kRoot).string();
    if (path.starts_with(folder + "/") &&
        (ending == ".cc" || ending == ".h" || ending == ".cu" || ending == ".cuh")) {
      files.push_back(file);
    }
  }
  EXPECT_GE(files.size(), 1U) << "no sources in " << folder << ": is the tree complete?";
  return files;
}

std::string tree_path(const fs::path& file) {
  return fs::relative(file, kRoot).string();
}

TEST(Lint, FoldersIncludeOnlyWhatLiesBelowThem) {
  // base <- media, text, format, backend (which do not see each other) <- model <- engine <- server <- cli.
  // server and cli are kept to the public header, so that every front end can do what they do.
  const std::map<std::string, std::set<std::string>> allowed = {
      {"base", {"base"}},
      {"media", {"base", "media"}},
      {"text", {"base", "text"}},
      {"format", {"base", "format"}},
      {"backend", {"base", "backend"}},
      {"model", {"base", "media", "text", "format", "backend", "model"}},
      {"engine", {"base", "media", "text", "format", "backend", "model", "engine"}},
      {"server", {"base", "server"}},
      {"cli", {"base", "server", "cli"}},
  };
  const std::regex include(R"re(^\s*#\s*include\s*"([^"]+)")re");
  int includes = 0;
  for (const auto& file : sources("src")) {
    const std::string folder = fs::relative(file, kRoot / "src").begin()->string();
    ASSERT_TRUE(allowed.contains(folder)) << tree_path(file) << ": no include rule for the folder " << folder;
    for (const auto& line : lines_of(file)) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      ++includes;
      const std::string header = match[1];
      if (header == "tessera/tessera.h") continue;
      const std::string from = header.substr(0, header.find('/'));
      EXPECT_TRUE(header.find("..") == std::string::npos && allowed.at(folder).contains(from))
          << tree_path(file) << " may not include \"" << header << '"';
      EXPECT_FALSE(folder == "model" && std::regex_search(header, std::regex("^backend/(ref|cpu|cuda)/")))
          << tree_path(file) << ": the model sees backend/backend.h, never one backend: " << header;
    }
  }
  EXPECT_GT(includes, 20);
}

TEST(Lint, LibrariesStayInTheirFolder) {
  const std::map<std::string, std::string> homes = {
      {"libav(codec|format|util)/", "src/media/"},
      {"libsw(scale|resample)/", "src/media/"},
      {"seccomp\\.h", "src/media/"},
      {"CLI/", "src/cli/"},
      {"histedit\\.h", "src/cli/"},
      {"toml\\+\\+/", "src/cli/"},
      {"(boost|openssl|curl)/", "src/server/"},
      {"(immintrin|arm_neon)\\.h", "src/backend/cpu/"},
  };
  const std::vector<fs::path> files = sources("src");
  for (const auto& [header, home] : homes) {
    const std::regex include("#\\s*include\\s*<" + header);
    for (const auto& file : files) {
      if (tree_path(file).starts_with(home)) continue;
      for (const auto& line : lines_of(file))
        EXPECT_FALSE(std::regex_search(line, include))
            << tree_path(file) << ": only " << home << " may use " << line;
    }
  }
}

TEST(Lint, FilesAreShort) {
  const std::regex kernels("^src/backend/[^/]+/kernels");
  for (const char* folder : {"src", "include", "tests"}) {
    for (const auto& file : sources(folder)) {
      const std::string path = tree_path(file);
      const int limit = path.starts_with("tests/")         ? kMaxTestLines
                        : std::regex_search(path, kernels) ? kMaxKernelLines
                                                           : kMaxLines;
      const auto lines = static_cast<int>(lines_of(file).size());
      EXPECT_LE(lines, limit) << path << ": split it by idea";
    }
  }
}

TEST(Lint, OnlyTheCommandLineReadsTheEnvironment) {
  const std::regex read(std::string("\\b(secure_)?get") + "env\\s*\\(");
  for (const char* folder : {"src", "include"}) {
    for (const auto& file : sources(folder)) {
      if (tree_path(file).starts_with("src/cli/")) continue;
      for (const auto& line : lines_of(file)) {
        EXPECT_FALSE(std::regex_search(line, read)) << tree_path(file) << ": " << line;
      }
    }
  }
}

TEST(Lint, NoPathsOfOneMachine) {
  const std::regex machine(std::string("(^|[^A-Za-z0-9_.})*])/(wo") + "rk|ro" + "ot|tm" + "p|ho" +
                           "me/[a-z]+)/");
  for (const auto& file : written_files()) {
    for (const auto& line : lines_of(file)) {
      if (line.find("/home/me/") != std::string::npos) continue;  // an example in a comment or a help text
      EXPECT_FALSE(std::regex_search(line, machine)) << tree_path(file) << ": " << line;
    }
  }
}

TEST(Lint, NothingIsLeftForLater) {
  const std::regex later(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X|HA" + "CK)\\b|not (yet )?imple" +
                         "mented");
  for (const char* folder : {"src", "include", "tests"}) {
    for (const auto& file : sources(folder)) {
      for (const auto& line : lines_of(file)) {
        EXPECT_FALSE(std::regex_search(line, later)) << tree_path(file) << ": " << line;
      }
    }
  }
  for (const auto& line : lines_of(kRoot / "README.md")) {
    EXPECT_FALSE(std::regex_search(line, later)) << "README.md: " << line;
  }
}

TEST(Lint, NoGlobalInstructionSetOrFastMath) {
  const std::regex flags(std::string("-march") + "=|-ffast" + "-math|-Ofa" + "st");
  for (const auto& file : written_files()) {
    const std::string name = file.filename().string();
    if (name != "CMakeLists.txt" && name != "CMakePresets.json" && file.extension() != ".sh") continue;
    for (const auto& line : lines_of(file)) {
      EXPECT_FALSE(std::regex_search(line, flags)) << tree_path(file) << ": " << line;
    }
  }
}

TEST(Lint, HeadersAreGuarded) {
  for (const char* folder : {"src", "include"}) {
    for (const auto& file : sources(folder)) {
      if (file.extension() != ".h") continue;
      const auto lines = lines_of(file);
      ASSERT_FALSE(lines.empty()) << tree_path(file);
      EXPECT_EQ(lines[0], "#pragma once") << tree_path(file);
    }
  }
}

TEST(Lint, TheCommandsOfTheReadmeExist) {
  std::string readme;
  for (const auto& line : lines_of(kRoot / "README.md")) readme += line + "\n";
  for (const char* command : {"./tessera run", "./test"}) {
    EXPECT_NE(readme.find(command), std::string::npos) << "README.md does not show " << command;
  }
  for (const char* file : {"tessera", "test", ".ci/run", "scripts/fuzz.sh", "scripts/tidy.sh"}) {
    const auto status = fs::status(kRoot / file);
    ASSERT_TRUE(fs::is_regular_file(status)) << file;
    EXPECT_NE(status.permissions() & fs::perms::owner_exec, fs::perms::none) << file << " is not executable";
  }
  EXPECT_LE(std::count(readme.begin(), readme.end(), '\n'), 120) << "README.md";
  EXPECT_EQ(readme.find(std::string("FIG") + "URES:"), std::string::npos)
      << "README.md: the measurements are missing";
  std::smatch image;
  ASSERT_TRUE(std::regex_search(readme, image, std::regex("--image (examples/[a-z_.]+)")));
  EXPECT_TRUE(fs::is_regular_file(kRoot / image[1].str())) << "README.md shows " << image[1];
  for (const char* file : {"LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "tests/count.txt"}) {
    EXPECT_TRUE(fs::is_regular_file(kRoot / file)) << file;
  }
}

TEST(Lint, FilesNamedInTheReadmeExist) {
  const std::regex link(R"re(\]\(([^)#:]+)\))re");
  int links = 0;
  for (const auto& line : lines_of(kRoot / "README.md")) {
    for (std::sregex_iterator it(line.begin(), line.end(), link), end; it != end; ++it, ++links) {
      EXPECT_TRUE(fs::exists(kRoot / (*it)[1].str())) << "README.md links to " << (*it)[1];
    }
  }
  EXPECT_GT(links, 0);
}

}  // namespace
