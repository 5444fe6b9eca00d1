#include "cli/bench_drafts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace tessera::cli {

std::string draft_table(const DraftBenchRun& run) {
  std::string text = fmt::format("{}; the drafter reads {:.1f} % of the model's bytes\n", run.backend,
                                 100 * run.drafter_share);
  text +=
      fmt::format("{:>9} {:>7} {:>10} {:>9} {:>9}\n", "accepted", "drafts", "ms/token", "speed-up", "ideal");
  double plain = 0;
  for (const auto& p : run.points) {
    if (p.drafts == 0) plain = p.token_ms;
    text += fmt::format("{:>9.2f} {:>7} {:>10.2f} {:>8.2f}x {:>9}\n", p.share,
                        p.drafts < 0 ? fmt::format("auto {:.1f}", p.drafted) : fmt::format("{}", p.drafts),
                        p.token_ms, plain / p.token_ms,
                        p.ideal_ms > 0 ? fmt::format("{:.2f}x", plain / p.ideal_ms) : std::string());
  }
  return text;
}

std::string draft_json(const DraftBenchRun& run) {
  nlohmann::json points = nlohmann::json::array();
  for (const auto& p : run.points)
    points.push_back({{"accepted", p.share},
                      {"drafts", p.drafts},
                      {"drafted_per_step", p.drafted},
                      {"ms_per_token", p.token_ms},
                      {"ideal_ms_per_token", p.ideal_ms}});
  return nlohmann::json{{"backend", run.backend}, {"drafter_share", run.drafter_share}, {"points", points}}
             .dump(2) +
         "\n";
}

}  // namespace tessera::cli
