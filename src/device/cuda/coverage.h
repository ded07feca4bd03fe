// Which operations of device/device.h exist on CUDA. An operation that does not says so when it is called, by
// name.
#pragma once

#include <span>
#include <string_view>

#include "core/error.h"

namespace megalith::cuda {

struct OperationCoverage {
  std::string_view operation;  // "norm forward"
  bool on_cuda = false;
};

// All of them, in the order of the headers.
std::span<const OperationCoverage> coverage();

// "attention forward is not implemented on CUDA yet; ..."
class NotOnCuda : public WorldFailed {
 public:
  explicit NotOnCuda(std::string_view operation);
};

// REQUIRES: the operation stands in coverage() as one that CUDA does not have.
[[noreturn]] void throw_not_on_cuda(std::string_view operation);

}  // namespace megalith::cuda
