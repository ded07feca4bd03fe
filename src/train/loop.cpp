#include "train/loop.h"

#include <algorithm>

#include "comm/exchange.h"
#include "core/digest.h"
#include "train/batch_schedule.h"
#include "train/checkpoint_policy.h"

namespace megalith {
namespace {

class Loop {
 public:
  Loop(const TrainConfig& config, Trainer& trainer, std::span<const HeldOutSet> held_out, LoopFiles files,
       std::uint64_t fingerprint, LoopObserver& observer)
      : config_(config),
        batches_(config.batch),
        trainer_(trainer),
        world_(trainer.mesh().world()),
        first_(world_.rank() == 0),
        held_out_(held_out),
        files_(std::move(files)),
        fingerprint_(fingerprint),
        observer_(observer),
        policy_(config, files_.checkpoints) {}

  LoopEnd run() {
    require_one_fingerprint();
    const std::int64_t steps = config_.schedule.steps;
    if (std::optional<LedgerDifference> changed = resume())
      return {.kind = LoopEnd::Kind::ledger_differs, .step = done_, .difference = std::move(changed)};
    if (done_ >= steps) return {.kind = LoopEnd::Kind::already_done, .step = done_};
    if (done_ == 0 && !config_.init.empty()) validate();  // what the weights are worth before they are tuned
    while (done_ < steps) {
      observer_.step_begins(done_ + 1);
      const LedgerLine line = next_step();
      std::optional<LedgerDifference> difference;
      if (first_) difference = recheck_.check(line);
      if (agreed_by_first(difference.has_value())) {
        return {.kind = LoopEnd::Kind::ledger_differs, .step = done_, .difference = std::move(difference)};
      }
      if (first_) files_.ledger->append(line);
      ++done_;
      observer_.step_done(line);
      skipped_in_a_row_ = line.skipped ? skipped_in_a_row_ + 1 : 0;
      if (skipped_in_a_row_ == LoopEnd::kMostSkipped) return {.kind = LoopEnd::Kind::diverged, .step = done_};
      if (first_ && recheck_.size() > 0 && done_ == recheck_.last_step())
        observer_.rechecked(recheck_.compared());
      after_step(line);
      if (done_ < steps && wanted_by_any(observer_.stop_requested())) {
        if (saved_ != done_) save(line);
        return {.kind = LoopEnd::Kind::stopped, .step = done_};
      }
    }
    return {.kind = LoopEnd::Kind::finished, .step = done_};
  }

 private:
  // Ranks that compute other bits than the first must not mix with it.
  void require_one_fingerprint() const {
    const std::vector<std::int64_t> all = numbers_of(world_, static_cast<std::int64_t>(fingerprint_));
    const std::size_t other = first_unlike(all);
    if (other == 0) return;
    const auto hex = [](std::int64_t one) { return to_hex(static_cast<std::uint64_t>(one)); };
    throw RefusedInput(
        {{.where = fmt::format("the fingerprint of rank {}", other),
          .found = hex(all[other]),
          .allowed = fmt::format("{}, as rank 0 has: ranks compute the same bits", hex(all[0])),
          .nearest = "one build on processors that `megalith doctor` describes alike"}});
  }

  // Decisions that all ranks must take alike.
  bool agreed_by_first(bool decision) const { return number_from(world_, decision ? 1 : 0) != 0; }
  bool wanted_by_any(bool wish) const { return union_of(world_, wish ? 1 : 0) != 0; }

  // A difference: the checkpoint's step read other data than it would read now. Nothing was changed then.
  std::optional<LedgerDifference> resume() {
    NewestGood newest;
    if (first_) {
      remove_unfinished_checkpoints(files_.checkpoints);
      newest = newest_good_checkpoint(files_.checkpoints);
    }
    open_what_first_found(newest);
    if (newest.checkpoint) {
      value_or_throw(trainer_.load(*newest.checkpoint));
      done_ = newest.checkpoint->facts().step;
      saved_ = done_;
      MEGALITH_CHECK(newest.checkpoint->facts().ledger.has_value(), "a checkpoint without a ledger line");
      const LedgerLine& line = *newest.checkpoint->facts().ledger;
      if (done_ < config_.schedule.steps) {
        LedgerLine now = line;
        now.data_digest = trainer_.data_digest(done_ - 1);
        if (std::optional<LedgerDifference> changed = first_difference(line, now)) return changed;
      }
      if (first_) {
        recheck_ = value_or_throw(files_.ledger->resume_after(line));
        policy_.resume_after(done_);
      }
    } else if (agreed_by_first(first_ && files_.ledger->last_step() > 0)) {
      if (first_) recheck_ = files_.ledger->truncate_after(0);
    } else {
      return std::nullopt;
    }
    forget_other_bits();
    observer_.resumed(done_, recheck_.size(), newest.skipped);
    return std::nullopt;
  }

  // Steps that a layout of the mode fast did are done again in another without the promise of their bits.
  void forget_other_bits() {
    if (config_.numerics.mode != NumericsMode::fast) return;
    const LedgerLine* before = recheck_.expected(done_ + 1);
    if (before != nullptr && before->fingerprint != fingerprint_) recheck_ = {};
  }

  // The first rank has read and checked every byte. The others read what is theirs, and check that once more:
  // it may have been damaged since, or on the way to another host.
  void open_what_first_found(NewestGood& newest) const {
    const std::int64_t step = number_from(world_, newest.checkpoint ? newest.checkpoint->facts().step : -1);
    if (first_ || step < 0) return;
    newest.checkpoint = value_or_throw(open_checkpoint(files_.checkpoints / checkpoint_folder_name(step)));
    newest.checkpoint->check_what_is_read();
  }

  LedgerLine next_step() {
    const StepResult result = trainer_.run_step(done_);
    return {.step = done_ + 1,
            .loss = result.loss,
            .gradient_norm = result.gradient_norm,
            .learning_rate = result.learning_rate,
            .tokens = batches_.tokens_before(done_ + 1),
            .loss_tokens = result.loss_tokens,
            .skipped = result.skipped,
            .bad = result.bad,
            .parameter_digest = result.parameter_digest,
            .data_digest = result.data_digest,
            .fingerprint = fingerprint_};
  }

  void after_step(const LedgerLine& line) {
    const bool last = done_ == config_.schedule.steps;
    const auto due = [&](std::int64_t interval) { return last || (interval > 0 && done_ % interval == 0); };
    bool improved = false;
    if (due(config_.validation.interval)) {
      validate();
      improved = agreed_by_first(policy_.improved_at(done_));
    }
    if (config_.sample.tokens > 0 && due(config_.sample.interval)) observer_.sample_due(done_);
    if (due(config_.checkpoint.interval) || due(config_.checkpoint.keep_every) || improved) save(line);
  }

  void validate() {
    for (const HeldOutSet& set : held_out_) {
      const std::int64_t all = set.dataset->samples_per_epoch();
      const std::int64_t wanted = config_.validation.sequences;
      const Validation validation = trainer_.validate(*set.dataset, wanted > 0 ? std::min(wanted, all) : all);
      if (&set == held_out_.data()) policy_.validated(done_, validation.loss);
      observer_.validated(done_, set.name, validation);
    }
  }

  void save(const LedgerLine& line) {
    if (first_) files_.ledger->sync();
    CheckpointWriter writer(files_.checkpoints, done_, {.writer = world_.rank(), .writers = world_.size()});
    trainer_.save(writer);
    if (first_ && !files_.tokenizer_json.empty()) writer.add_file("tokenizer.json", files_.tokenizer_json);
    const CheckpointFacts facts = {.step = done_,
                                   .config = files_.frozen_config,
                                   .numerics = to_string(config_.numerics),
                                   .next_sample = batches_.first_sample(done_),
                                   .tokens_seen = batches_.tokens_before(done_),
                                   .ledger = line,
                                   .notes = policy_.notes(done_)};
    const std::filesystem::path folder =
        writer.finish_together(facts, [this](const std::string& mine) { return texts_of(world_, mine); });
    saved_ = done_;
    if (first_) policy_.saved(done_);
    observer_.checkpoint_written(done_, folder);
  }

  const TrainConfig& config_;
  BatchSchedule batches_;
  Trainer& trainer_;
  Communicator& world_;
  bool first_;  // rank
  std::span<const HeldOutSet> held_out_;
  LoopFiles files_;
  std::uint64_t fingerprint_;
  LoopObserver& observer_;
  RecheckLog recheck_;
  std::int64_t done_ = 0;  // steps
  CheckpointPolicy policy_;
  int skipped_in_a_row_ = 0;
  std::int64_t saved_ = -1;  // step of the newest checkpoint
};

}  // namespace

LoopEnd run_loop(const TrainConfig& config, Trainer& trainer, std::span<const HeldOutSet> held_out,
                 LoopFiles files, std::uint64_t fingerprint, LoopObserver& observer) {
  return Loop(config, trainer, held_out, std::move(files), fingerprint, observer).run();
}

}  // namespace megalith
