// A device around a device: every operation is passed on and its time written into a log, with the cost that
// it declares. Results, and so all bits, are those of the inner device.
#pragma once

#include <memory>

#include "device/device.h"
#include "device/profile/operation_log.h"

namespace megalith::profile {

// `inner` and `log` outlive the result.
std::unique_ptr<Device> make_profiling_device(Device& inner, OperationLog& log);

}  // namespace megalith::profile
