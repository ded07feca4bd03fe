// Products by multiply-adds on the GPU.
#include "device/cuda/gpu/kernel_calls.h"
#include "device/cuda/gpu/launch.cuh"
#include "device/cuda/kernels/product_instances.h"

namespace megalith::cuda {
namespace {

template <class T, ProductForm form, int levels>
struct FmaBody {
  using Form = FormTraits<form>;
  static constexpr int kSharedBytes = FmaShared<T, Form::kAlongA, Form::kAlongB>::kBytes;
  static MEGALITH_KERNEL void run(const ProductArgs<T>& args) {
    fma_product<GpuMachine, T, Form::kAlongA, Form::kAlongB, levels, Form::kGradient>(args);
  }
};

}  // namespace

template <class T>
void call_fma_product(const ProductLaunch& how, const ProductArgs<T>& args, cudaStream_t stream) {
  FmaInstance<T>::call(how, [&]<ProductForm form, int levels>() {
    using Body = FmaBody<T, form, levels>;
    const LaunchPlan plan{.blocks_x = how.plan.row_tiles * how.plan.column_tiles,
                          .blocks_z = how.plan.shares,
                          .threads = FmaTile::kThreads,
                          .shared_bytes = Body::kSharedBytes};
    launch_body<Body>(name_of(form), plan, args, stream);
  });
}

template void call_fma_product(const ProductLaunch&, const ProductArgs<float>&, cudaStream_t);
template void call_fma_product(const ProductLaunch&, const ProductArgs<bf16>&, cudaStream_t);

}  // namespace megalith::cuda
