// The optimizer's kernels and the bias gradient on the GPU.
#include "device/cuda/gpu/kernel_calls.h"
#include "device/cuda/gpu/launch.cuh"

namespace megalith::cuda {
namespace {

template <class W, int vector>
struct AdamBody {
  static MEGALITH_KERNEL void run(const AdamArgs<W>& args) { adam<GpuMachine, W, vector>(args); }
};
template <int vector>
struct CastBody {
  static MEGALITH_KERNEL void run(const CastArgs& args) { cast<GpuMachine, vector>(args); }
};
struct SquaresBody {
  static MEGALITH_KERNEL void run(const SquaresArgs& args) { squares<GpuMachine>(args); }
};
struct DigestBody {
  static MEGALITH_KERNEL void run(const DigestArgs& args) { digest<GpuMachine>(args); }
};
template <class T>
struct FiniteBody {
  static MEGALITH_KERNEL void run(const FiniteArgs<T>& args) { finite<GpuMachine>(args); }
};
template <class T>
struct BiasGradientBody {
  static MEGALITH_KERNEL void run(const BiasGradientArgs<T>& args) { bias_gradient<GpuMachine>(args); }
};

}  // namespace

const void* probe_kernel() {
  return reinterpret_cast<const void*>(kernel<DigestBody, DigestArgs>);
}

template <class W>
void call_adam(const LaunchPlan& plan, int vector, const AdamArgs<W>& args, cudaStream_t stream) {
  if (vector == 1) {
    launch_body<AdamBody<W, 1>>("AdamW update", plan, args, stream);
  } else {
    launch_body<AdamBody<W, 4>>("AdamW update", plan, args, stream);
  }
}
void call_cast(const LaunchPlan& plan, int vector, const CastArgs& args, cudaStream_t stream) {
  if (vector == 1) {
    launch_body<CastBody<1>>("cast", plan, args, stream);
  } else {
    launch_body<CastBody<4>>("cast", plan, args, stream);
  }
}
void call_squares(const LaunchPlan& plan, const SquaresArgs& args, cudaStream_t stream) {
  launch_body<SquaresBody>("squared norm", plan, args, stream);
}
void call_digest(const LaunchPlan& plan, const DigestArgs& args, cudaStream_t stream) {
  launch_body<DigestBody>("parameter digest", plan, args, stream);
}
template <class T>
void call_finite(const LaunchPlan& plan, const FiniteArgs<T>& args, cudaStream_t stream) {
  launch_body<FiniteBody<T>>("all finite", plan, args, stream);
}
template <class T>
void call_bias_gradient(const LaunchPlan& plan, const BiasGradientArgs<T>& args, cudaStream_t stream) {
  launch_body<BiasGradientBody<T>>("bias gradient", plan, args, stream);
}

template void call_adam(const LaunchPlan&, int, const AdamArgs<float>&, cudaStream_t);
template void call_adam(const LaunchPlan&, int, const AdamArgs<bf16>&, cudaStream_t);
template void call_finite(const LaunchPlan&, const FiniteArgs<float>&, cudaStream_t);
template void call_finite(const LaunchPlan&, const FiniteArgs<bf16>&, cudaStream_t);
template void call_bias_gradient(const LaunchPlan&, const BiasGradientArgs<float>&, cudaStream_t);
template void call_bias_gradient(const LaunchPlan&, const BiasGradientArgs<bf16>&, cudaStream_t);

}  // namespace megalith::cuda
