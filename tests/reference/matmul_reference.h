// Products, slow and obvious: in float64, and as the exact chain written out one multiply-add at a time.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/bf16.h"
#include "core/fixed_point.h"
#include "device/matmul.h"

namespace megalith::reference {

// Mistakes that an equality test has to notice. Only the twins below can make them.
enum class PlantedBug {
  none,
  low_element_first,  // of each bf16 pair
  block_sum_added,    // a block of the chain is summed alone and added afterwards
  leaf_pair_swapped,  // leaves 1 and 2 change places in the tree
  grains_in_float,    // grains are added in fp32 before the rounding to integers
};

// Source elements of each leaf in chain order, -1 for padding.
inline std::vector<std::vector<std::int64_t>> leaf_elements(const SumOrder& order, std::int64_t dimension,
                                                            bool pairs, PlantedBug bug) {
  std::vector<std::int64_t> members;
  for (const std::int64_t member : order.members) {
    if (member > 0) members.push_back(member);
  }
  if (members.empty()) members.push_back(dimension);
  std::vector<std::vector<std::int64_t>> leaves;
  for (int leaf = 0; leaf < order.leaves; ++leaf) {
    std::vector<std::int64_t> elements;
    std::int64_t begin = 0;
    for (const std::int64_t member : members) {
      const std::int64_t part = member / order.leaves;
      for (std::int64_t i = 0; i < part; ++i) elements.push_back(begin + leaf * part + i);
      begin += member;
    }
    if (pairs && elements.size() % 2 != 0) elements.push_back(-1);
    if (pairs && bug != PlantedBug::low_element_first) {
      for (std::size_t i = 0; i < elements.size(); i += 2) std::swap(elements[i], elements[i + 1]);
    }
    leaves.push_back(elements);
  }
  return leaves;
}

// A chain that goes on from `start`.
template <class A, class B>
float chain_from(float start, const std::vector<std::int64_t>& elements, const A& a, const B& b) {
  float sum = start;
  for (const std::int64_t i : elements) sum = i < 0 ? std::fma(0.0f, 0.0f, sum) : std::fma(a(i), b(i), sum);
  return sum;
}

template <class A, class B>
float chain(const std::vector<std::int64_t>& elements, const A& a, const B& b, PlantedBug bug) {
  if (bug != PlantedBug::block_sum_added) return chain_from(0, elements, a, b);
  const auto half = elements.begin() + static_cast<std::ptrdiff_t>(elements.size() / 2);
  return chain_from(0, {elements.begin(), half}, a, b) + chain_from(0, {half, elements.end()}, a, b);
}

// One output element: a(i) and b(i) give the operands' elements along the summed dimension.
template <class A, class B>
float exact_element(const SumOrder& order, std::int64_t dimension, bool pairs, const A& a, const B& b,
                    PlantedBug bug = PlantedBug::none) {
  std::vector<float> sums;
  for (const auto& elements : leaf_elements(order, dimension, pairs, bug))
    sums.push_back(chain(elements, a, b, bug));
  if (bug == PlantedBug::leaf_pair_swapped && sums.size() > 2) std::swap(sums[1], sums[2]);
  while (sums.size() > 1) {
    std::vector<float> joined;
    for (std::size_t i = 0; i < sums.size(); i += 2) joined.push_back(sums[i] + sums[i + 1]);
    sums = joined;
  }
  return sums[0];
}

template <class A, class B>
double double_element(std::int64_t dimension, const A& a, const B& b, double* magnitude) {
  double sum = 0;
  for (std::int64_t i = 0; i < dimension; ++i) {
    sum += static_cast<double>(a(i)) * static_cast<double>(b(i));
    *magnitude += std::fabs(static_cast<double>(a(i)) * static_cast<double>(b(i)));
  }
  return sum;
}

// One element of a weight gradient: tokens in grains, each a chain, each rounded once.
template <class A, class B>
std::int64_t exact_gradient(std::int64_t tokens, std::int64_t grain, int shift, bool pairs, const A& a,
                            const B& b, PlantedBug bug = PlantedBug::none) {
  std::int64_t total = 0;
  float in_float = 0;
  for (std::int64_t begin = 0; begin < tokens; begin += grain) {
    const float sum = exact_element(
        {}, grain, pairs, [&](std::int64_t i) { return a(begin + i); },
        [&](std::int64_t i) { return b(begin + i); }, bug);
    total += to_fixed_point(sum, shift);
    in_float += sum;
  }
  return bug == PlantedBug::grains_in_float ? to_fixed_point(in_float, shift) : total;
}

// One element of a weight gradient in f32, which was `start` before.
template <class A, class B>
float float_gradient(float start, std::int64_t tokens, bool pairs, const A& a, const B& b,
                     PlantedBug bug = PlantedBug::none) {
  const std::vector<std::int64_t> elements = leaf_elements({}, tokens, pairs, bug).front();
  if (bug == PlantedBug::block_sum_added) return start + chain_from(0, elements, a, b);
  return chain_from(start, elements, a, b);
}

}  // namespace megalith::reference
