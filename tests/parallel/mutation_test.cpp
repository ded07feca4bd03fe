// What compares layouts is itself tried: faults in what ranks say to each other, each of which must be found.
#include <gtest/gtest.h>

#include "parallel/layout_cases.h"
#include "train/layout_trial.h"

namespace megalith::test {
namespace {

constexpr std::size_t kPartialSums = 2 * 64 * 32 * sizeof(float);  // bytes; other exchanges are smaller
constexpr std::size_t kGradients = 16;  // sums of fewer values are counters and norms

struct Mutation {
  const char* name;
  ParallelConfig parallel;
  PlantedFault fault;
};

const std::vector<Mutation>& mutations() {
  using Kind = FaultKind;
  static const std::vector<Mutation> kMutations = {
      {"shares of sums joined in another order",
       {.tensor = 4, .data = 1},
       {Kind::sum_order, "tensor", kPartialSums}},
      {"the same over token slices",
       {.tensor = 4, .data = 1, .sequence = true},
       {Kind::sum_order, "tensor", kPartialSums}},
      {"gathered activations one rank on", {.tensor = 2, .data = 1}, {Kind::rotated_pieces, "tensor"}},
      {"gathered activations not waited for", {.tensor = 2, .data = 1}, {Kind::stale_piece, "tensor"}},
      {"norms' gradients of token slices not summed",
       {.tensor = 2, .data = 1, .sequence = true},
       {Kind::forgotten_reduce, "tensor", kGradients}},
      {"norms' gradients of token slices counted twice",
       {.tensor = 2, .data = 1, .sequence = true},
       {Kind::double_count, "tensor", kGradients}},
      {"gradients not summed over data ranks", {.data = 2}, {Kind::forgotten_reduce, "data", kGradients}},
      {"gradients of one data rank counted twice", {.data = 2}, {Kind::double_count, "data", kGradients}},
      {"loss and tokens of one's own share only",
       {.data = 2},
       {Kind::forgotten_reduce, "world", 0, kGradients - 1}},
      {"loss and tokens of rank 0 counted twice",
       {.data = 2},
       {Kind::double_count, "world", 0, kGradients - 1}},
      {"sharded gradients not summed", {.data = 2, .zero = 2}, {Kind::forgotten_reduce, "data", kGradients}},
      {"sharded gradients counted twice", {.data = 2, .zero = 1}, {Kind::double_count, "data", kGradients}},
      {"gathered weights not waited for", {.data = 2, .zero = 1}, {Kind::stale_piece, "data"}},
      {"gathered weights one rank on", {.data = 2, .zero = 3}, {Kind::rotated_pieces, "data"}},
      {"the tied table's gradient of one end only",
       {.pipeline = 2, .data = 1},
       {Kind::forgotten_reduce, "ends", kGradients}},
      {"the tied table's gradient of the first end twice",
       {.pipeline = 2, .data = 1},
       {Kind::double_count, "ends", kGradients}},
      {"the activations of the micro batch before",
       {.pipeline = 2, .data = 1},
       {Kind::late_message, "pipeline"}},
      {"a bit of the activations lost", {.pipeline = 2, .data = 1}, {Kind::lost_bit, "pipeline"}},
  };
  return kMutations;
}

class MutationTest : public testing::TestWithParam<std::size_t> {};

TEST_P(MutationTest, AFaultIsFoundAndTheSameLayoutWithoutItIsEqual) {
  const Mutation& mutation = mutations()[GetParam()];
  SCOPED_TRACE(mutation.name);
  TrainConfig config = small_layout_config();
  config.batch.micro = 2;
  const MadeUpDataset data(config.model.vocabulary, config.batch.sequence, true, true);
  TrialSetup setup{.train = data, .make_device = [] { return device_of_rank(1); }, .steps = 3};
  config.parallel = {.data = 1};
  const LayoutTrial expected = try_layout(config, setup);
  config.parallel = mutation.parallel;
  EXPECT_FALSE(first_difference(expected, try_layout(config, setup))) << "without the fault";
  setup.fault = mutation.fault;
  EXPECT_TRUE(first_difference(expected, try_layout(config, setup)));
}

INSTANTIATE_TEST_SUITE_P(Planted, MutationTest, testing::Range<std::size_t>(0, mutations().size()));

}  // namespace
}  // namespace megalith::test
