// cuBLASLt, loaded when a product first asks for it: it is half a gigabyte, and a program that computes
// nothing on a GPU, or has no such library, starts without it. Only what stands here is used of it: one
// pinned algorithm per weight shape, no split sums, no epilogue, one workspace.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <string>

#include "device/cuda/gpu/runtime.h"
#include "device/cuda/kernel_launcher.h"

namespace megalith::cuda {

class CublasLt {
 public:
  // Null, with the reason in *why, where it cannot be loaded.
  static std::unique_ptr<CublasLt> load(std::string* why);
  virtual ~CublasLt() = default;
  [[nodiscard]] virtual std::string version() const = 0;
  // How many algorithms it offers for a weight shape at kRowsOfCheck rows.
  virtual int candidates(const ProductKey& key) = 0;
  // False when the algorithm cannot do this number of rows.
  virtual bool multiply(const ProductKey& key, int candidate, const LibraryProduct& product,
                        cudaStream_t stream) = 0;
};

}  // namespace megalith::cuda
