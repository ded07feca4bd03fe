#include "train/divisors.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace megalith {

std::vector<std::int64_t> divisors_of(std::int64_t number) {
  std::vector<std::int64_t> divisors;
  for (std::int64_t small = 1; small * small <= number; ++small) {
    if (number % small != 0) continue;
    divisors.push_back(small);
    if (small * small != number) divisors.push_back(number / small);
  }
  std::sort(divisors.begin(), divisors.end());
  return divisors;
}

std::string divisors_around(std::int64_t whole, std::int64_t wanted) {
  const std::vector<std::int64_t> divisors = divisors_of(whole);
  const auto above = std::upper_bound(divisors.begin(), divisors.end(), wanted);
  if (above == divisors.end()) return std::to_string(divisors.back());
  return above == divisors.begin() ? std::to_string(*above)
                                   : fmt::format("{} or {}", *std::prev(above), *above);
}

}  // namespace megalith
