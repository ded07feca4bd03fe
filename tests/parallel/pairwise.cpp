#include "parallel/pairwise.h"

#include <algorithm>
#include <utility>

namespace megalith::test {

std::vector<ValuePair> pairs_of(const Row& row) {
  std::vector<ValuePair> pairs;
  for (std::size_t a = 0; a < row.size(); ++a) {
    for (std::size_t b = a + 1; b < row.size(); ++b) pairs.emplace_back(a, row[a], b, row[b]);
  }
  return pairs;
}

PairwiseDesign::PairwiseDesign(std::vector<Factor> factors, std::size_t constrained,
                               const std::function<bool(const Row&)>& legal)
    : factors_(std::move(factors)) {
  Row start(constrained, 0);
  for (bool more = true; more;) {
    if (legal(start)) starts_.push_back(start);
    more = false;
    for (std::size_t f = 0; f < constrained && !more; ++f) {  // counts up, the first factor fastest
      more = ++start[f] < factors_[f].values.size();
      if (!more) start[f] = 0;
    }
  }
  std::set<std::pair<std::size_t, std::size_t>> possible_values;
  for (const Row& row : starts_) {
    for (const ValuePair& pair : pairs_of(row)) possible_.insert(pair);
    for (std::size_t f = 0; f < constrained; ++f) possible_values.insert({f, row[f]});
  }
  for (std::size_t f = constrained; f < factors_.size(); ++f) {
    for (std::size_t v = 0; v < factors_[f].values.size(); ++v) {
      for (const auto& [other, value] : possible_values) possible_.emplace(other, value, f, v);
      possible_values.insert({f, v});
    }
    // Values of one factor are no pair.
    std::erase_if(possible_,
                  [f](const ValuePair& pair) { return std::get<0>(pair) == f && std::get<2>(pair) == f; });
  }
}

// Open pairs among the constrained values, which few rows have, before open pairs with the others.
std::size_t PairwiseDesign::worth_of_start(const Row& start, const std::set<ValuePair>& open) const {
  std::size_t worth = 0;
  for (const ValuePair& pair : pairs_of(start)) worth += open.contains(pair) ? 100 : 0;
  for (std::size_t f = start.size(); f < factors_.size(); ++f) {
    for (std::size_t s = 0; s < start.size(); ++s) {
      for (std::size_t v = 0; v < factors_[f].values.size(); ++v)
        worth += open.contains({s, start[s], f, v}) ? 1 : 0;
    }
  }
  return worth;
}

// Each further factor takes the value with most open pairs; of equals the one used least.
void PairwiseDesign::complete(Row& row, const std::set<ValuePair>& open,
                              std::vector<std::vector<std::size_t>>& used) const {
  while (row.size() < factors_.size()) {
    const std::size_t f = row.size();
    const auto worth = [&](std::size_t v) {
      std::size_t covered = 0;
      for (std::size_t s = 0; s < row.size(); ++s) covered += open.contains({s, row[s], f, v}) ? 1 : 0;
      return std::pair{covered, -static_cast<std::ptrdiff_t>(used[f][v])};
    };
    std::size_t best = 0;
    for (std::size_t v = 1; v < factors_[f].values.size(); ++v) {
      if (worth(v) > worth(best)) best = v;
    }
    row.push_back(best);
    ++used[f][best];
  }
}

std::vector<Row> PairwiseDesign::rows() const {
  std::set<ValuePair> open = possible_;
  std::vector<std::vector<std::size_t>> used;
  for (const Factor& factor : factors_) used.emplace_back(factor.values.size());
  std::vector<Row> rows;
  while (!open.empty()) {
    const auto best = std::max_element(starts_.begin(), starts_.end(), [&](const Row& a, const Row& b) {
      return worth_of_start(a, open) < worth_of_start(b, open);
    });
    Row row = *best;
    complete(row, open, used);
    const std::size_t before = open.size();
    for (const ValuePair& pair : pairs_of(row)) open.erase(pair);
    if (open.size() == before) return rows;  // cannot be: what is open is possible, so worth something
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string PairwiseDesign::describe(const Row& row) const {
  std::string text;
  for (std::size_t f = 0; f < row.size(); ++f)
    text += (f == 0 ? "" : ", ") + factors_[f].name + " " + factors_[f].values[row[f]];
  return text;
}

}  // namespace megalith::test
