// The operations of the CUDA device, on whatever launches its kernels.
#pragma once

#include <memory>

#include "device/attention.h"
#include "device/cuda/kernel_launcher.h"
#include "device/elementwise.h"
#include "device/loss.h"
#include "device/matmul.h"
#include "device/optimizer.h"
#include "device/shards.h"

namespace megalith::cuda {

// Products with the table of what was chosen for which shape.
class CudaMatmul : public MatmulOps {
 public:
  [[nodiscard]] virtual const AlgorithmTable& algorithms() const = 0;
};

std::unique_ptr<CudaMatmul> make_matmul(KernelLauncher& launcher, ProductMode mode);
std::unique_ptr<ElementwiseOps> make_elementwise(KernelLauncher& launcher);
std::unique_ptr<OptimizerOps> make_optimizer(KernelLauncher& launcher);
// All of whose operations throw NotOnCuda.
std::unique_ptr<AttentionOps> make_absent_attention();
std::unique_ptr<LossOps> make_absent_loss();
std::unique_ptr<ShardOps> make_absent_shards();

}  // namespace megalith::cuda
