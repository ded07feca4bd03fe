// What an operation costs, declared once beside it: the profiler, the MFU line and a simulated device read
// the same.
#pragma once

#include <cstdint>

namespace megalith {

struct Cost {
  double flops = 0;  // useful floating point operations, a multiply-add counting two
  double bytes = 0;  // least traffic to memory: every operand read and every result written once
};

}  // namespace megalith
