#include "train/schedule_rules.h"

#include <algorithm>
#include <string>
#include <utility>

#include "train/batch_schedule.h"
#include "train/learning_rate.h"

namespace megalith {
namespace {

// Numbers of tokens are divided in fp64 and shown as JSON numbers: both are exact up to here.
constexpr double kMostTokens = 0x1p53;

class ScheduleChecker {
 public:
  ScheduleChecker(const TrainConfig& config, const Registry& registry)
      : config_(config), schedule_(config.schedule), registry_(registry) {}

  Refusals run() {
    if (!length() || !countable()) return std::move(refusals_);
    warmup();
    horizon();
    cooldown();
    return std::move(refusals_);
  }

 private:
  void refuse_key(const char* key, std::string allowed, std::string nearest) {
    refusals_.push_back({.where = registry_.where(key),
                         .found = registry_.at(key).show(),
                         .allowed = std::move(allowed),
                         .nearest = std::move(nearest)});
  }
  // "schedule.warmup_tokens" where the amount in tokens was given, else the other name.
  static const char* given(std::int64_t tokens, const char* tokens_key, const char* steps_key) {
    return tokens > 0 ? tokens_key : steps_key;
  }

  // Without one of them a run has no end. By epochs it is not known before the data is open.
  bool length() {
    const RunLength& length = schedule_.length;
    if (schedule_.steps > 0 || length.tokens > 0 || length.epochs > 0) return true;
    refuse_key("schedule.steps", "one of schedule.steps, schedule.tokens and schedule.epochs", "1000");
    return false;
  }
  [[nodiscard]] bool end_is_known() const { return schedule_.steps > 0; }

  // Products of the config's steps and tokens fit into an integer.
  bool countable() {
    const auto tokens =
        static_cast<double>(config_.batch.sequence) * static_cast<double>(config_.batch.global);
    if (tokens > 0x1p40) return false;  // refused as it is
    const auto most = static_cast<std::int64_t>(kMostTokens / tokens);
    const std::pair<const char*, std::int64_t> amounts[] = {
        {"schedule.steps", schedule_.steps},
        {"schedule.warmup_steps", schedule_.warmup_steps},
        {"schedule.horizon_steps", schedule_.horizon_steps}};
    for (const auto& [key, steps] : amounts) {
      if (steps <= most) continue;
      refuse_key(key, fmt::format("at most {} steps of batches of {:.0f} tokens", most, tokens),
                 std::to_string(most));
    }
    return refusals_.empty();
  }

  void warmup() {
    const BatchSchedule batches(config_.batch);
    if (end_is_known() && schedule_.warmup_steps > schedule_.steps) {
      refuse_key("schedule.warmup_steps", fmt::format("at most schedule.steps = {}", schedule_.steps),
                 std::to_string(schedule_.steps));
    }
    const std::int64_t tokens = batches.tokens_before(schedule_.steps);
    if (end_is_known() && schedule_.warmup_tokens > tokens) {
      refuse_key("schedule.warmup_tokens", fmt::format("at most the {} tokens of the run", tokens),
                 std::to_string(tokens));
    }
    if (schedule_.decay == LearningRateDecay::inverse_sqrt && schedule_.warmup_steps == 0 &&
        schedule_.warmup_tokens == 0) {
      refuse_key("schedule.warmup_steps",
                 "a warm-up, as the rate is the peak times the root of warm-up by steps done",
                 std::to_string(std::max<std::int64_t>(schedule_.steps / 100, 1)));
    }
  }

  void horizon() {
    if (schedule_.horizon_steps == 0 && schedule_.horizon_tokens == 0) return;
    const char* key = given(schedule_.horizon_tokens, "schedule.horizon_tokens", "schedule.horizon_steps");
    if (schedule_.decay == LearningRateDecay::constant ||
        schedule_.decay == LearningRateDecay::inverse_sqrt) {
      return refuse_key(
          key, fmt::format("0, as schedule.decay = {} has no end", registry_.at("schedule.decay").show()),
          "0");
    }
    const LearningRateSchedule rate(config_);
    if (rate.decay_end() >= rate.decay_begin()) return;
    refuse_key(key,
               fmt::format("no less than the warm-up, which takes {} {}", rate.decay_begin(), unit(rate)),
               std::to_string(rate.decay_begin()));
  }

  void cooldown() {
    const char* key = given(schedule_.cooldown_tokens, "schedule.cooldown_tokens", "schedule.cooldown_steps");
    const std::int64_t length = std::max(schedule_.cooldown_tokens, schedule_.cooldown_steps);
    const bool wsd = schedule_.decay == LearningRateDecay::wsd;
    if (!wsd && length > 0) return refuse_key(key, "0 unless schedule.decay = \"wsd\"", "0");
    if (!wsd) return;
    if (length == 0) {
      return refuse_key(key, "the length of the decay, as schedule.decay = \"wsd\"",
                        std::to_string(std::max<std::int64_t>(schedule_.steps / 10, 1)));
    }
    if (!end_is_known() && schedule_.horizon_steps == 0 && schedule_.horizon_tokens == 0) return;
    const LearningRateSchedule rate(config_);
    const std::int64_t room = std::max<std::int64_t>(rate.decay_end() - rate.decay_begin(), 0);
    if (length <= room) return;
    refuse_key(key, fmt::format("at most the {} {} between warm-up and end", room, unit(rate)),
               std::to_string(room));
  }

  static const char* unit(const LearningRateSchedule& rate) {
    return rate.decay_counts_tokens() ? "tokens" : "steps";
  }

  const TrainConfig& config_;
  const ScheduleConfig& schedule_;
  const Registry& registry_;
  Refusals refusals_;
};

}  // namespace

Refusals check_schedule(const TrainConfig& config, const Registry& registry) {
  return ScheduleChecker(config, registry).run();
}

}  // namespace megalith
