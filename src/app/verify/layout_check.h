// megalith verify-layout: a few steps in every legal layout, compared with one rank by bits.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/layout_census.h"
#include "train/layout_trial.h"

namespace megalith::app {

// One layout's outcome beside one rank's.
struct CheckedLayout {
  ParallelConfig parallel;
  LayoutTrial trial;
  std::string failure;  // what ended it instead
  std::optional<TrialDifference> difference;
  double seconds = 0;

  [[nodiscard]] bool equal() const { return failure.empty() && !difference; }
};

// What was compared with what, and the first difference in full.
struct LayoutCheck {
  std::int64_t ranks = 1;
  std::int64_t steps = 1;
  LayoutCensus census;
  LayoutTrial one_rank;
  double one_rank_seconds = 0;
  std::vector<CheckedLayout> layouts;
  TensorDifference tensors;     // of the first layout that differs
  std::string tensors_unknown;  // why there are none

  [[nodiscard]] const CheckedLayout* first_unequal() const;  // null: none
};

// "sum-order" and so on, with what a layout needs for the fault to show.
struct InjectableFault {
  const char* name;
  PlantedFault fault;
  std::int64_t tensor = 1, data = 1;  // the fewest ranks
};
const std::vector<InjectableFault>& injectable_faults();

// Where ranks come from. Only one of them, rank 0, hears what one rank alone came to and compares.
class Ranks {
 public:
  Ranks() = default;                                       // threads of this process
  explicit Ranks(Communicator& world) : world_(&world) {}  // processes, this one among them
  [[nodiscard]] bool are_threads() const { return world_ == nullptr; }
  [[nodiscard]] bool leads() const { return world_ == nullptr || world_->rank() == 0; }
  // Of all ranks the layout; of one rank only the leader, alone.
  LayoutTrial run(const TrainConfig& config, const TrialSetup& setup) const;
  // What the leader says.
  [[nodiscard]] std::string told(const std::string& by_leader) const;

 private:
  Communicator* world_ = nullptr;
};

// Runs one layout, whatever becomes of it.
CheckedLayout check_layout(const TrainConfig& config, const ParallelConfig& parallel, const TrialSetup& setup,
                           const LayoutTrial& one_rank, const Ranks& ranks);

// Which tensors differ after the step of the first difference: both runs once more, with a checkpoint.
TensorDifference find_tensors(const TrainConfig& config, const ParallelConfig& unequal, std::int64_t step,
                              TrialSetup setup, const Ranks& ranks);

// The table, its heading, one row, and what stands below.
std::string table_heading();
std::string table_row(const std::string& name, const ParallelConfig& parallel, const LayoutTrial& trial,
                      const std::string& verdict);
std::string table_row(const CheckedLayout& layout);
std::string verdict_of(const LayoutCheck& check);
std::string to_json(const LayoutCheck& check);  // one object, without line feed

}  // namespace megalith::app
