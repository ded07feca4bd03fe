// Stands in for the provider where no CUDA toolkit was found at configure time.
#include "device/cuda/cuda_device.h"

namespace megalith::cuda {

Availability availability() {
  return {.compiled = false,
          .toolkit = "",
          .driver = "",
          .devices = {},
          .library = "",
          .why_not = "built without a CUDA toolkit (12.8 or newer; cmake -DMEGALITH_CUDA=ON says why)"};
}

Expected<std::unique_ptr<CudaDevice>> make_device(const Options&) {
  return refuse(
      {.where = "device", .found = "cuda", .allowed = "cpu: " + availability().why_not, .nearest = "cpu"});
}

}  // namespace megalith::cuda
