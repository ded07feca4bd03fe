// Products on the GPU's tensor cores.
#include "device/cuda/gpu/kernel_calls.h"
#include "device/cuda/gpu/launch.cuh"
#include "device/cuda/kernels/product_instances.h"

namespace megalith::cuda {
namespace {

template <ProductForm form, class Tile>
struct TensorCoreBody {
  using Form = FormTraits<form>;
  static constexpr int kSharedBytes = TensorCoreShared<Tile, Form::kAlongA, Form::kAlongB>::kBytes;
  static MEGALITH_KERNEL void run(const ProductArgs<bf16>& args) {
    tensor_core_product<GpuMachine, Tile, Form::kAlongA, Form::kAlongB, Form::kGradient>(args);
  }
};

}  // namespace

void call_tensor_core_product(const ProductLaunch& how, const ProductArgs<bf16>& args, cudaStream_t stream) {
  TensorCoreInstance::call(how, [&]<ProductForm form, class Tile>() {
    using Body = TensorCoreBody<form, Tile>;
    const LaunchPlan plan{.blocks_x = how.plan.row_tiles * how.plan.column_tiles,
                          .blocks_z = how.plan.shares,
                          .threads = Tile::kThreads,
                          .shared_bytes = Body::kSharedBytes};
    launch_body<Body>(name_of(form), plan, args, stream);
  });
}

}  // namespace megalith::cuda
