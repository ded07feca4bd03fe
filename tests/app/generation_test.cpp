#include "app/generation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace megalith::app {
namespace {

Continuation sample(std::int64_t number, std::vector<float> log_probabilities) {
  Continuation made;
  made.number = number;
  made.log_probabilities = std::move(log_probabilities);
  return made;
}

std::vector<std::int64_t> numbers(const std::vector<Continuation>& samples) {
  std::vector<std::int64_t> list(samples.size());
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = samples[i].number;
  return list;
}

TEST(MeanLogProbability, CountsTheEndOfTheDocumentAsAToken) {
  Continuation text = sample(0, {-1, -2});
  EXPECT_EQ(mean_log_probability(text), -1.5);
  text.end_log_probability = -6.0f;
  EXPECT_EQ(mean_log_probability(text), -3.0);
  Continuation empty = sample(0, {});
  EXPECT_EQ(mean_log_probability(empty), 0.0);
  empty.end_log_probability = -4.0f;
  EXPECT_EQ(mean_log_probability(empty), -4.0);
}

TEST(BestOf, GoesByTheMeanAndThenByTheOrderOfDrawing) {
  const std::vector<Continuation> drawn = {sample(0, {-3}), sample(1, {-2, -2, -2}), sample(2, {NAN}),
                                           sample(3, {-1, -3}), sample(4, {-1})};
  EXPECT_EQ(numbers(best_of(drawn, 3)), (std::vector<std::int64_t>{4, 1, 3}));
  EXPECT_EQ(numbers(best_of(drawn, 9)), (std::vector<std::int64_t>{4, 1, 3, 0, 2}));
}

}  // namespace
}  // namespace megalith::app
