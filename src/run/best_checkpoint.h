// Which checkpoint of a run does best on held-out text. The loss stands in the checkpoint's own manifest, as
// notes: no pointer beside the checkpoints can be out of date, and a crash at any moment leaves what is true.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"
#include "run/checkpoint.h"

namespace megalith {

struct HeldOutNote {
  double loss = 0;      // nats per token
  std::string measure;  // on what; losses of different measures are not compared
};

void put_held_out(const HeldOutNote& note, CheckpointFacts& facts);
// None where the checkpoint's step was not validated.
std::optional<HeldOutNote> held_out_of(const CheckpointFacts& facts);

struct BestGood {
  std::optional<Checkpoint> checkpoint;  // none when no good one was measured
  double loss = 0;
  Refusals skipped;  // why those were passed over that were better or may have been, file and chunk named
};
// The checkpoint of least held-out loss that verifies completely, of those up to `at_most`; the earliest of
// equals. Without `measure`, of those measured as the newest one was.
BestGood best_good_checkpoint(const std::filesystem::path& checkpoints,
                              std::optional<std::string> measure = std::nullopt,
                              std::int64_t at_most = INT64_MAX);

}  // namespace megalith
