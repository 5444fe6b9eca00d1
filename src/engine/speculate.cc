#include "engine/speculate.h"

#include <chrono>

#include "base/error.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Speculator::Speculator(EngineImpl& engine) : engine_(engine) {}

int Speculator::most(const Generation& g) const {
  const GenerateOptions& o = g.options();
  // A card's steps of up to 8 rows are recorded, and their rows' bits are those of one row.
  int64_t room = engine_.options.backend == "cuda" ? kMaxDraft - 1 : kMaxDraft;
  room = std::min(room, engine_.options.context_tokens - g.sequence().size() - 1);
  if (o.max_tokens > 0)
    room = std::min<int64_t>(room, o.max_tokens - static_cast<int64_t>(g.reply().ids.size()) - 1);
  if (engine_.options.draft > 0) room = std::min<int64_t>(room, engine_.options.draft);
  return static_cast<int>(std::max<int64_t>(room, 0));
}

// The position that accepts more; the other is looked at again now and then.
bool Speculator::choose_late() {
  constexpr int64_t kFirst = 256, kOften = 16, kSeldom = 256;
  if (engine_.options.draft_position != 0) return engine_.options.draft_position == 1;
  const bool better = positions_[1].share() > positions_[0].share();
  ++drafted_rounds_;
  const bool other = drafted_rounds_ % (drafted_rounds_ < kFirst ? kOften : kSeldom) == 0;
  return better != other;
}

void Speculator::propose(std::span<Generation* const> batch, const std::vector<KvLayer>& kv) {
  rounds_.clear();
  const std::vector<const Generation*> fresh = std::exchange(fresh_, {});
  const bool drafter = engine_.drafter != nullptr && engine_.options.draft != 0;
  if (!drafter && !source_) return;
  for (Generation* g : batch) {
    if (g->state() != Generation::State::kDecoding) continue;
    const int room = most(*g);
    if (source_) {
      g->propose(source_(*g, room));
      continue;
    }
    // After a step that left a reply out its hidden row is gone.
    if (std::find(fresh.begin(), fresh.end(), g) == fresh.end()) continue;
    if (!g->draft_depth) g->draft_depth.emplace(all_);
    const int depth = engine_.options.draft > 0 ? room : g->draft_depth->choose(costs(batch.size()), room);
    if (depth > 0) rounds_.push_back({g, depth, choose_late(), {}});
  }
  if (rounds_.empty()) return;
  const auto begin = Clock::now();
  draft(rounds_, kv);
  int longest = 0;
  for (const Round& r : rounds_) {
    r.generation->propose(r.drafts);
    longest = std::max(longest, static_cast<int>(r.drafts.size()));
  }
  if (longest > 0)
    costs(batch.size())
        .record_draft(std::chrono::duration<double, std::milli>(Clock::now() - begin).count() / longest);
}

// One drafting step gives each reply that wants more its next draft: the rows become fewer.
void Speculator::draft(std::vector<Round>& rounds, const std::vector<KvLayer>& kv) {
  Drafter& drafter = *engine_.drafter;
  std::vector<Round*> active, next;
  std::vector<int32_t> states;  // row of each active one's state
  for (Round& r : rounds) {
    active.push_back(&r);
    states.push_back(static_cast<int32_t>(r.generation->hidden_row()));
  }
  for (Tensor from = engine_.scratch->hidden; !active.empty(); from = drafter.states()) {
    plan_.clear();
    for (size_t i = 0; i < active.size(); ++i) {
      const Generation& g = *active[i]->generation;
      const auto last = static_cast<int32_t>(g.sequence().size() - 2);  // in the KV cache
      plan_.token.push_back(active[i]->drafts.empty() ? g.sequence().ids().back() : active[i]->drafts.back());
      plan_.position.push_back(last);
      plan_.span_end.push_back(last);
      plan_.turn.push_back(last + (active[i]->late ? 1 : 0));
      plan_.sequence.push_back(g.slot());
      plan_.logit_row.push_back(states[i]);
    }
    drafter.step(plan_, from, kv);
    next.clear();
    states.clear();
    for (size_t i = 0; i < active.size(); ++i) {
      Round& r = *active[i];
      const int32_t id = drafter.best(static_cast<int64_t>(i));
      r.drafts.push_back(id);
      const bool ends = !r.generation->options().ignore_end_tokens && contains(engine_.config.end_tokens, id);
      if (ends || static_cast<int>(r.drafts.size()) >= r.depth) continue;
      next.push_back(&r);
      states.push_back(static_cast<int32_t>(i));
    }
    active.swap(next);
  }
}

void Speculator::record(std::span<Generation* const> decoded, std::vector<const Generation*> stepped,
                        double ms, bool prompts) {
  fresh_ = std::move(stepped);
  if (decoded.empty() || source_) return;
  DraftCosts& of_batch = costs(decoded.size());
  int deepest = 0, shallowest = kMaxDraft;
  for (Generation* g : decoded) {
    const auto& [drafted, accepted] = g->last_round();
    deepest = std::max(deepest, drafted);
    shallowest = std::min(shallowest, drafted);
    if (drafted == 0) continue;
    if (g->draft_depth) g->draft_depth->record(drafted, accepted);
    all_.record(drafted, accepted);
    for (const Round& r : rounds_)
      if (r.generation == g) {
        Position& p = positions_[r.late ? 1 : 0];
        p.tried = 0.99 * p.tried + 1;
        p.accepted = 0.99 * p.accepted + (accepted > 0 ? 1 : 0);
      }
  }
  // A step of several depths says nothing of one.
  if (!prompts && deepest == shallowest) of_batch.record_step(deepest, ms);
  if (of_batch.known(0))
    for (Generation* g : decoded) g->set_plain_ms(of_batch.plain());
}

DraftCosts& Speculator::costs(size_t generations) {
  return costs_[generations < 2 ? 0 : generations < 4 ? 1 : generations < 8 ? 2 : 3];
}

}  // namespace tessera
