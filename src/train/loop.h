// The training loop: resume, steps, ledger, validation, checkpoints. It asks no clock and prints nothing;
// whoever watches is an observer. All ranks of the trainer's mesh run it together, each with an observer of
// its own; the first rank keeps the ledger and decides which checkpoint counts and which may go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "run/checkpoint_store.h"
#include "run/ledger.h"
#include "train/trainer.h"

namespace megalith {

class LoopObserver {
 public:
  virtual ~LoopObserver() = default;
  // The run continues after `step`; `to_recheck` later steps stand in the ledger and will be compared.
  // `damaged` says why newer checkpoints were passed over.
  virtual void resumed(std::int64_t /*step*/, std::int64_t /*to_recheck*/, const Refusals& /*damaged*/) {}
  // All steps done before the stop came out with the same bits again.
  virtual void rechecked(std::int64_t /*steps*/) {}
  // Before the forward pass of `step`, counted from 1 as everywhere here.
  virtual void step_begins(std::int64_t /*step*/) {}
  // The trainer still has the step's gradients.
  virtual void step_done(const LedgerLine& /*line*/) {}
  // On data.held_out; `set` is empty, or the name of one of data.more_held_out.
  virtual void validated(std::int64_t /*step*/, std::string_view /*set*/, const Validation& /*validation*/) {}
  // Asked for after `step` by sample.interval; the trainer's parameters are those of the step.
  virtual void sample_due(std::int64_t /*step*/) {}
  virtual void checkpoint_written(std::int64_t /*step*/, const std::filesystem::path& /*folder*/) {}
  // Asked after every step. True on any rank: write a checkpoint and leave.
  virtual bool stop_requested() { return false; }
};

struct LoopEnd {
  // diverged: kMostSkipped steps in a row were bad, so more of them would change nothing.
  enum class Kind : std::uint8_t { finished, already_done, stopped, ledger_differs, diverged };
  static constexpr int kMostSkipped = 20;
  Kind kind = Kind::finished;
  std::int64_t step = 0;                       // steps done
  std::optional<LedgerDifference> difference;  // of ledger_differs, on the first rank
};

struct LoopFiles {
  Ledger* ledger = nullptr;           // the first rank's; null on others
  std::filesystem::path checkpoints;  // folder
  std::string frozen_config;          // goes into every checkpoint
  std::string tokenizer_json;         // likewise, as tokenizer.json; empty when there is none
};

// A held-out set and what observers know it by.
struct HeldOutSet {
  std::string name;
  const Dataset* dataset = nullptr;
};

// Runs the config's steps to the end, from the newest good checkpoint when there is one. Throws WorldFailed
// when a checkpoint or the ledger cannot be written, RefusedInput when they belong to another run or the
// ranks' fingerprints differ.
LoopEnd run_loop(const TrainConfig& config, Trainer& trainer, std::span<const HeldOutSet> held_out,
                 LoopFiles files, std::uint64_t fingerprint, LoopObserver& observer);

}  // namespace megalith
