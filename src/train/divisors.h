// Divisors, for rules that say which numbers are legal and which the nearest one is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace megalith {

// Ascending. REQUIRES: number >= 1.
std::vector<std::int64_t> divisors_of(std::int64_t number);

// "2 or 4": the divisors of `whole` around a number that is none, or the one next to it.
std::string divisors_around(std::int64_t whole, std::int64_t wanted);

}  // namespace megalith
