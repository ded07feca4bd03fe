// A small covering design: rows such that every pair of values of two factors stands in one of them.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace megalith::test {

struct Factor {
  std::string name;
  std::vector<std::string> values;
};

// For every factor which of its values.
using Row = std::vector<std::size_t>;

// Factor and value, twice; the first factor is the lower one.
using ValuePair = std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>;

class PairwiseDesign {
 public:
  // The first `constrained` factors may contradict each other: `legal` says which of their rows are possible.
  // The other factors go with everything.
  PairwiseDesign(std::vector<Factor> factors, std::size_t constrained,
                 const std::function<bool(const Row&)>& legal);

  // All pairs that some legal row has.
  [[nodiscard]] const std::set<ValuePair>& possible() const { return possible_; }
  // Rows that have all of them: greedy, always the same. Not the fewest, but near it.
  [[nodiscard]] std::vector<Row> rows() const;
  [[nodiscard]] const std::vector<Factor>& factors() const { return factors_; }

  // "tensor 2, pipeline 4, ..."
  [[nodiscard]] std::string describe(const Row& row) const;

 private:
  [[nodiscard]] std::size_t worth_of_start(const Row& start, const std::set<ValuePair>& open) const;
  void complete(Row& row, const std::set<ValuePair>& open, std::vector<std::vector<std::size_t>>& used) const;

  std::vector<Factor> factors_;
  std::vector<Row> starts_;  // legal values of the constrained factors
  std::set<ValuePair> possible_;
};

// Every pair that a row has.
std::vector<ValuePair> pairs_of(const Row& row);

}  // namespace megalith::test
