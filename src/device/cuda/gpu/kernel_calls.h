// One function per kernel family: what the .cu files offer to the launcher, which is plain C++.
#pragma once

#include <cuda_runtime_api.h>

#include "device/cuda/kernels/activation_kernels.h"
#include "device/cuda/kernels/norm_kernels.h"
#include "device/cuda/kernels/optimizer_kernels.h"
#include "device/cuda/kernels/product_args.h"
#include "device/cuda/launch_shape.h"

namespace megalith::cuda {

// Any kernel, to ask whether this build has code for a device.
const void* probe_kernel();

template <class T>
void call_norm_forward(const LaunchPlan& plan, const NormForwardArgs<T>& args, cudaStream_t stream);
template <class T>
void call_norm_backward(const LaunchPlan& plan, const NormBackwardArgs<T>& args, cudaStream_t stream);
template <class T>
void call_norm_gradients(const LaunchPlan& plan, const NormGradientArgs<T>& args, cudaStream_t stream);
template <class T>
void call_activation_forward(const LaunchPlan& plan, int vector, const ActivationForwardArgs<T>& args,
                             cudaStream_t stream);
template <class T, class D>
void call_activation_backward(const LaunchPlan& plan, int vector, const ActivationBackwardArgs<T, D>& args,
                              cudaStream_t stream);

template <class W>
void call_adam(const LaunchPlan& plan, int vector, const AdamArgs<W>& args, cudaStream_t stream);
void call_cast(const LaunchPlan& plan, int vector, const CastArgs& args, cudaStream_t stream);
void call_squares(const LaunchPlan& plan, const SquaresArgs& args, cudaStream_t stream);
void call_digest(const LaunchPlan& plan, const DigestArgs& args, cudaStream_t stream);
template <class T>
void call_finite(const LaunchPlan& plan, const FiniteArgs<T>& args, cudaStream_t stream);
template <class T>
void call_bias_gradient(const LaunchPlan& plan, const BiasGradientArgs<T>& args, cudaStream_t stream);

template <class T>
void call_fma_product(const ProductLaunch& how, const ProductArgs<T>& args, cudaStream_t stream);
void call_tensor_core_product(const ProductLaunch& how, const ProductArgs<bf16>& args, cudaStream_t stream);

}  // namespace megalith::cuda
