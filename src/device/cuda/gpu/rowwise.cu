// Norms and activations on the GPU.
#include "device/cuda/gpu/kernel_calls.h"
#include "device/cuda/gpu/launch.cuh"

namespace megalith::cuda {
namespace {

template <class T>
struct NormForwardBody {
  static MEGALITH_KERNEL void run(const NormForwardArgs<T>& args) { norm_forward<GpuMachine>(args); }
};
template <class T>
struct NormBackwardBody {
  static MEGALITH_KERNEL void run(const NormBackwardArgs<T>& args) { norm_backward<GpuMachine>(args); }
};
template <class T>
struct NormGradientBody {
  static MEGALITH_KERNEL void run(const NormGradientArgs<T>& args) { norm_gradients<GpuMachine>(args); }
};
template <class T, int vector>
struct ActivationForwardBody {
  static MEGALITH_KERNEL void run(const ActivationForwardArgs<T>& args) {
    activation_forward<GpuMachine, T, vector>(args);
  }
};
template <class T, class D, int vector>
struct ActivationBackwardBody {
  static MEGALITH_KERNEL void run(const ActivationBackwardArgs<T, D>& args) {
    activation_backward<GpuMachine, T, D, vector>(args);
  }
};

}  // namespace

template <class T>
void call_norm_forward(const LaunchPlan& plan, const NormForwardArgs<T>& args, cudaStream_t stream) {
  launch_body<NormForwardBody<T>>("norm forward", plan, args, stream);
}
template <class T>
void call_norm_backward(const LaunchPlan& plan, const NormBackwardArgs<T>& args, cudaStream_t stream) {
  launch_body<NormBackwardBody<T>>("norm backward", plan, args, stream);
}
template <class T>
void call_norm_gradients(const LaunchPlan& plan, const NormGradientArgs<T>& args, cudaStream_t stream) {
  launch_body<NormGradientBody<T>>("norm gradients", plan, args, stream);
}
template <class T>
void call_activation_forward(const LaunchPlan& plan, int vector, const ActivationForwardArgs<T>& args,
                             cudaStream_t stream) {
  if (vector == 1) {
    launch_body<ActivationForwardBody<T, 1>>("activation forward", plan, args, stream);
  } else {
    launch_body<ActivationForwardBody<T, kVector<T>>>("activation forward", plan, args, stream);
  }
}
template <class T, class D>
void call_activation_backward(const LaunchPlan& plan, int vector, const ActivationBackwardArgs<T, D>& args,
                              cudaStream_t stream) {
  if (vector == 1) {
    launch_body<ActivationBackwardBody<T, D, 1>>("activation backward", plan, args, stream);
  } else {
    launch_body<ActivationBackwardBody<T, D, kVector<T>>>("activation backward", plan, args, stream);
  }
}

template void call_norm_forward(const LaunchPlan&, const NormForwardArgs<float>&, cudaStream_t);
template void call_norm_forward(const LaunchPlan&, const NormForwardArgs<bf16>&, cudaStream_t);
template void call_norm_backward(const LaunchPlan&, const NormBackwardArgs<float>&, cudaStream_t);
template void call_norm_backward(const LaunchPlan&, const NormBackwardArgs<bf16>&, cudaStream_t);
template void call_norm_gradients(const LaunchPlan&, const NormGradientArgs<float>&, cudaStream_t);
template void call_norm_gradients(const LaunchPlan&, const NormGradientArgs<bf16>&, cudaStream_t);
template void call_activation_forward(const LaunchPlan&, int, const ActivationForwardArgs<float>&,
                                      cudaStream_t);
template void call_activation_forward(const LaunchPlan&, int, const ActivationForwardArgs<bf16>&,
                                      cudaStream_t);
template void call_activation_backward(const LaunchPlan&, int, const ActivationBackwardArgs<float, float>&,
                                       cudaStream_t);
template void call_activation_backward(const LaunchPlan&, int, const ActivationBackwardArgs<bf16, bf16>&,
                                       cudaStream_t);
template void call_activation_backward(const LaunchPlan&, int, const ActivationBackwardArgs<bf16, float>&,
                                       cudaStream_t);

}  // namespace megalith::cuda
