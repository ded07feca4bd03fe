// Elementary functions in fp64 of add, multiply, fma, division and square root only: initial weights,
// learning rates and bias corrections have the same bits on every machine. Relative error about 1e-15.
#pragma once

#include <cstdint>

namespace megalith {

double exact_log(double x);                                    // REQUIRES: x positive, finite, normal
double exact_exp(double x);                                    // REQUIRES: |x| <= 700
double exact_cos_two_pi(double turns);                         // cos(2 pi turns); REQUIRES: |turns| <= 2^30
double exact_sin_two_pi(double turns);                         // sin(2 pi turns); REQUIRES: |turns| <= 2^30
double exact_pow_integer(double base, std::int64_t exponent);  // by squaring; REQUIRES: exponent >= 0

}  // namespace megalith
