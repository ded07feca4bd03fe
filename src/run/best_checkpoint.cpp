#include "run/best_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "run/checkpoint_store.h"

namespace megalith {
namespace {

constexpr const char* kLoss = "held_out_loss";
constexpr const char* kMeasure = "held_out_measure";

struct Candidate {
  Checkpoint checkpoint;
  HeldOutNote note;
};

}  // namespace

void put_held_out(const HeldOutNote& note, CheckpointFacts& facts) {
  facts.notes[kLoss] = fmt::format("{}", note.loss);  // the digits that give the same double back
  facts.notes[kMeasure] = note.measure;
}

std::optional<HeldOutNote> held_out_of(const CheckpointFacts& facts) {
  const auto loss = facts.notes.find(kLoss);
  const auto measure = facts.notes.find(kMeasure);
  if (loss == facts.notes.end() || measure == facts.notes.end()) return std::nullopt;
  HeldOutNote note{.loss = 0, .measure = measure->second};
  const char* const last = loss->second.data() + loss->second.size();
  const auto parsed = std::from_chars(loss->second.data(), last, note.loss);
  if (parsed.ec != std::errc{} || parsed.ptr != last || !std::isfinite(note.loss)) return std::nullopt;
  return note;
}

BestGood best_good_checkpoint(const std::filesystem::path& checkpoints, std::optional<std::string> measure,
                              std::int64_t at_most) {
  BestGood best;
  std::vector<Candidate> candidates;  // ascending by step
  for (const CheckpointEntry& entry : list_checkpoints(checkpoints)) {
    if (entry.step > at_most) continue;
    Expected<Checkpoint> opened = Checkpoint::open(entry.folder);
    if (!opened) {  // nobody can know its loss: it may have been the best
      best.skipped.insert(best.skipped.end(), opened.error().begin(), opened.error().end());
      continue;
    }
    if (opened->facts().step != entry.step) continue;
    if (std::optional<HeldOutNote> note = held_out_of(opened->facts())) {
      candidates.push_back({std::move(*opened), std::move(*note)});
    }
  }
  if (!measure && !candidates.empty()) measure = candidates.back().note.measure;
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.note.measure != *measure; });
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.note.loss < b.note.loss; });
  for (Candidate& candidate : candidates) {
    const Expected<void> sound = candidate.checkpoint.verify();
    if (sound) {
      best.loss = candidate.note.loss;
      best.checkpoint = std::move(candidate.checkpoint);
      break;
    }
    best.skipped.insert(best.skipped.end(), sound.error().begin(), sound.error().end());
  }
  return best;
}

}  // namespace megalith
