#include "train/layout_census.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "train/divisors.h"

namespace megalith {
namespace {

// Checks a variant and takes it in.
class Census {
 public:
  Census(const TrainConfig& config, std::int64_t ranks) : config_(config), ranks_(ranks) {
    declare_train_keys(registry_, config_);
  }

  void take(const ParallelConfig& parallel) {
    config_.parallel = parallel;
    ++census_.enumerated;
    const std::vector<LayoutRefusal> broken = broken_layout_rules(config_, ranks_, registry_);
    if (broken.empty()) {
      census_.legal.push_back(parallel);
    } else {
      ++census_.refused[static_cast<std::size_t>(broken.front().rule)];
    }
  }

  LayoutCensus result() { return std::move(census_); }

 private:
  TrainConfig config_;
  std::int64_t ranks_;
  Registry registry_;
  LayoutCensus census_;
};

template <class Visit>
void for_each_degrees(const ParallelConfig& base, std::int64_t ranks, Visit visit) {
  for (const std::int64_t tensor : divisors_of(ranks)) {
    for (const std::int64_t pipeline : divisors_of(ranks / tensor)) {
      ParallelConfig parallel = base;
      parallel.tensor = tensor;
      parallel.pipeline = pipeline;
      parallel.data = ranks / tensor / pipeline;
      visit(parallel);
    }
  }
}

using KeyValue = std::pair<std::string_view, std::int64_t>;

// What a variant has of what may be chosen in its layout.
std::vector<KeyValue> choices_of(const ParallelConfig& variant) {
  return {{"sequence", variant.sequence ? 1 : 0},
          {"schedule", static_cast<std::int64_t>(variant.schedule)},
          {"zero", variant.zero},
          {"recompute", static_cast<std::int64_t>(variant.recompute)}};
}

bool same_degrees(const ParallelConfig& a, const ParallelConfig& b) {
  return a.tensor == b.tensor && a.pipeline == b.pipeline && a.data == b.data;
}

}  // namespace

LayoutCensus all_layouts(const TrainConfig& config, std::int64_t ranks) {
  Census census(config, ranks);
  for_each_degrees(config.parallel, ranks, [&](const ParallelConfig& parallel) { census.take(parallel); });
  return census.result();
}

LayoutCensus all_variants(const TrainConfig& config, std::int64_t ranks) {
  Census census(config, ranks);
  const auto with_zero = [&](ParallelConfig parallel) {
    for (parallel.zero = 0; parallel.zero <= (parallel.data > 1 ? 3 : 0); ++parallel.zero) {
      for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
        parallel.recompute = recompute;
        census.take(parallel);
      }
    }
  };
  const auto with_schedules = [&](ParallelConfig parallel) {
    for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::gpipe,
                                        ScheduleKind::interleaved, ScheduleKind::zero_bubble}) {
      parallel.schedule = schedule;
      parallel.chunks = schedule == ScheduleKind::interleaved ? 2 : 1;
      with_zero(parallel);
      if (parallel.pipeline == 1) break;
    }
  };
  ParallelConfig base = config.parallel;
  base.stage_layers = {};
  base.recompute_layers = 0;
  for_each_degrees(base, ranks, [&](ParallelConfig parallel) {
    for (const bool sequence : {false, true}) {
      if (sequence && parallel.tensor == 1) continue;
      parallel.sequence = sequence;
      with_schedules(parallel);
    }
  });
  return census.result();
}

std::vector<ParallelConfig> covering_variants(const LayoutCensus& variants) {
  std::vector<ParallelConfig> chosen;
  std::map<std::pair<KeyValue, KeyValue>, std::int64_t> pairs;  // how often chosen, in all layouts
  const auto& legal = variants.legal;
  for (auto begin = legal.begin(), end = begin; begin != legal.end(); begin = end) {
    end =
        std::find_if_not(begin, legal.end(), [&](const auto& other) { return same_degrees(*begin, other); });
    std::set<KeyValue> open;
    for (auto variant = begin; variant != end; ++variant) {
      for (const KeyValue& choice : choices_of(*variant)) open.insert(choice);
    }
    while (!open.empty()) {
      // The one with most of what is open here; of equals the one whose pairs of choices are newest.
      const auto worth = [&](const ParallelConfig& variant) {
        const std::vector<KeyValue> choices = choices_of(variant);
        const auto fresh =
            std::count_if(choices.begin(), choices.end(), [&](const auto& c) { return open.contains(c); });
        std::int64_t seen = 0;
        for (const KeyValue& a : choices) {
          for (const KeyValue& b : choices) {
            const auto place = pairs.find({a, b});
            seen += a < b && place != pairs.end() ? place->second : 0;
          }
        }
        return std::pair{fresh, -seen};
      };
      const auto best =
          std::max_element(begin, end, [&](const auto& a, const auto& b) { return worth(a) < worth(b); });
      chosen.push_back(*best);
      for (const KeyValue& a : choices_of(*best)) {
        open.erase(a);
        for (const KeyValue& b : choices_of(*best)) ++pairs[{a, b}];
      }
    }
  }
  return chosen;
}

}  // namespace megalith
