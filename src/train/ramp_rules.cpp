#include "train/ramp_rules.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "train/batch_schedule.h"

namespace megalith {
namespace {

class RampChecker {
 public:
  RampChecker(const TrainConfig& config, const Registry& registry)
      : batch_(config.batch), registry_(registry) {}

  Refusals run() {
    if (batch_.ramp_start == 0) {
      without_ramp();
    } else {
      lengths();
      if (refusals_.empty()) micro();
    }
    return std::move(refusals_);
  }

 private:
  void refuse_key(const char* key, std::string allowed, std::string nearest) {
    refusals_.push_back({.where = registry_.where(key),
                         .found = registry_.at(key).show(),
                         .allowed = std::move(allowed),
                         .nearest = std::move(nearest)});
  }

  void without_ramp() {
    const std::pair<const char*, std::int64_t> others[] = {{"batch.ramp_increment", batch_.ramp_increment},
                                                           {"batch.ramp_samples", batch_.ramp_samples},
                                                           {"batch.ramp_tokens", batch_.ramp_tokens}};
    for (const auto& [key, value] : others) {
      if (value > 0) refuse_key(key, "0 without batch.ramp_start", "0, or batch.ramp_start too");
    }
  }

  void lengths() {
    if (batch_.ramp_samples == 0 && batch_.ramp_tokens == 0) {
      refuse_key("batch.ramp_samples",
                 "the length of the ramp here or in batch.ramp_tokens, as batch.ramp_start "
                 "is given",
                 std::to_string(100 * batch_.global));
    }
    if (batch_.ramp_start >= batch_.global) {
      return refuse_key("batch.ramp_start", fmt::format("below batch.global = {}", batch_.global),
                        batch_.global > batch_.micro ? std::to_string(batch_.micro) : "0");
    }
    const std::int64_t rise = batch_.global - batch_.ramp_start;
    const std::int64_t common = std::gcd(rise, std::max<std::int64_t>(batch_.ramp_increment, 1));
    if (batch_.ramp_increment == 0 || rise % batch_.ramp_increment != 0) {
      return refuse_key(
          "batch.ramp_increment", fmt::format("a divisor of batch.global - batch.ramp_start = {}", rise),
          std::to_string(batch_.ramp_increment == 0 ? std::gcd(rise, batch_.ramp_start) : common));
    }
    if (rise / batch_.ramp_increment > kMostRampRises) {
      refuse_key("batch.ramp_increment", fmt::format("at most {} rises of the batch", kMostRampRises),
                 std::to_string(rise));
    }
  }

  // A size is start, start + increment and so on: what divides both divides every one.
  void micro() {
    const std::int64_t sizes = std::gcd(batch_.ramp_start, batch_.ramp_increment);
    if (batch_.global % batch_.micro != 0 || sizes % batch_.micro == 0) return;
    refuse_key("batch.micro",
               fmt::format("a divisor of every size of the ramp, so of batch.ramp_start = {} and "
                           "batch.ramp_increment = {}",
                           batch_.ramp_start, batch_.ramp_increment),
               std::to_string(std::gcd(sizes, batch_.micro)));
  }

  const BatchConfig& batch_;
  const Registry& registry_;
  Refusals refusals_;
};

}  // namespace

Refusals check_ramp(const TrainConfig& config, const Registry& registry) {
  return RampChecker(config, registry).run();
}

}  // namespace megalith
