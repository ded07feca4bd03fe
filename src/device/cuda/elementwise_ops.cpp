// Row- and element-wise operations: from tensors to kernels' arguments and plans.
#include "core/fixed_point.h"
#include "device/cuda/coverage.h"
#include "device/cuda/operations.h"

namespace megalith::cuda {
namespace {

void check_same(const char* operation, const Tensor& a, const Tensor& b) {
  MEGALITH_CHECK(a.rows() == b.rows() && a.columns() == b.columns(), "{}: {} and {}", operation, describe(a),
                 describe(b));
}

void check_activation(Activation activation, const Tensor& x, const Tensor& y) {
  const std::int64_t parts = is_gated(activation) ? 2 : 1;
  MEGALITH_CHECK(x.rows() == y.rows() && x.columns() == parts * y.columns(), "activation: {} and {}",
                 describe(x), describe(y));
}

template <class T>
T* data_or_null(const Tensor& tensor) {
  return tensor.empty() ? nullptr : tensor.as<T>();
}

class Elementwise final : public ElementwiseOps {
 public:
  explicit Elementwise(KernelLauncher& launcher) : launcher_(launcher) {}

  void forward(const NormForward& args) override {
    check_same("norm", args.x, args.y);
    if (args.x.count() == 0) return;
    with_float_type(args.x.dtype, [&]<class T>(T) {
      launcher_.launch(plan_rows(args.x.rows()), NormForwardArgs<T>{.centred = args.norm == Norm::layer,
                                                                    .x = args.x.as<T>(),
                                                                    .x_stride = args.x.row_stride,
                                                                    .gain = args.gain.as<float>(),
                                                                    .bias = data_or_null<float>(args.bias),
                                                                    .epsilon = args.epsilon,
                                                                    .rows = args.x.rows(),
                                                                    .columns = args.x.columns(),
                                                                    .y = args.y.as<T>(),
                                                                    .y_stride = args.y.row_stride,
                                                                    .mean = args.mean.as<float>(),
                                                                    .rstd = args.rstd.as<float>()});
    });
  }

  void backward(const NormBackward& args) override {
    check_same("norm backward", args.dy, args.x);
    check_same("norm backward", args.dy, args.dx);
    MEGALITH_CHECK(args.dy.row_stride == args.x.row_stride, "norm backward: rows of {} and {}",
                   args.dy.row_stride, args.x.row_stride);
    if (args.x.count() == 0) return;
    with_float_type(args.x.dtype, [&]<class T>(T) {
      norm_gradients<T>(args);  // before dx, which may be dy's neighbour in place
      launcher_.launch(plan_rows(args.x.rows()),
                       NormBackwardArgs<T>{.centred = args.norm == Norm::layer,
                                           .dy = args.dy.as<T>(),
                                           .dy_stride = args.dy.row_stride,
                                           .x = args.x.as<T>(),
                                           .x_stride = args.x.row_stride,
                                           .mean = args.mean.as<float>(),
                                           .rstd = args.rstd.as<float>(),
                                           .gain = args.gain.as<float>(),
                                           .residual = data_or_null<T>(args.residual_gradient),
                                           .residual_stride = args.residual_gradient.row_stride,
                                           .rows = args.x.rows(),
                                           .columns = args.x.columns(),
                                           .dx = args.dx.as<T>(),
                                           .dx_stride = args.dx.row_stride});
    });
  }

  void forward(const ActivationForward& args) override {
    check_activation(args.activation, args.x, args.y);
    if (args.y.count() == 0) return;
    with_float_type(args.x.dtype, [&]<class T>(T) {
      const int vector = vector_width(kVector<T>, args.y.columns(), {args.x, args.y});
      launcher_.launch(plan_stretches(args.y.rows(), args.y.columns(), vector, launcher_.shape()), vector,
                       ActivationForwardArgs<T>{.activation = args.activation,
                                                .gated = is_gated(args.activation),
                                                .x = args.x.as<T>(),
                                                .x_stride = args.x.row_stride,
                                                .rows = args.y.rows(),
                                                .columns = args.y.columns(),
                                                .y = args.y.as<T>(),
                                                .y_stride = args.y.row_stride});
    });
  }

  void backward(const ActivationBackward& args) override {
    check_activation(args.activation, args.x, args.dy);
    check_same("activation backward", args.x, args.dx);
    if (args.dy.count() == 0) return;
    with_float_type(args.x.dtype, [&]<class T>(T) {
      if (args.dy.dtype == DType::f32) {
        activate_backward<T, float>(args);
      } else {
        activate_backward<T, T>(args);
      }
    });
  }

  void forward(const HeadRotationForward&) override { throw_not_on_cuda("head rotation forward"); }
  void backward(const HeadRotationBackward&) override { throw_not_on_cuda("head rotation backward"); }
  void forward(const BiasDropoutResidual&) override { throw_not_on_cuda("bias, dropout and residual"); }
  void backward(const DropoutBackward&) override { throw_not_on_cuda("dropout backward"); }
  void forward(const EmbeddingForward&) override { throw_not_on_cuda("embedding forward"); }
  void backward(const EmbeddingBackward&) override { throw_not_on_cuda("embedding backward"); }

 private:
  template <class T>
  void norm_gradients(const NormBackward& args) {
    launcher_.launch(plan_norm_gradients(args.x.rows(), args.x.columns(), launcher_.shape()),
                     NormGradientArgs<T>{.dy = args.dy.as<T>(),
                                         .x = args.x.as<T>(),
                                         .stride = args.x.row_stride,
                                         .mean = args.mean.as<float>(),
                                         .rstd = args.rstd.as<float>(),
                                         .rows = args.x.rows(),
                                         .columns = args.x.columns(),
                                         .scale = power_of_two(args.shift),
                                         .dgain = args.dgain.as<std::int64_t>(),
                                         .dbias = data_or_null<std::int64_t>(args.dbias),
                                         .bad = launcher_.flag_of(args.verdict)});
  }

  template <class T, class D>
  void activate_backward(const ActivationBackward& args) {
    const int vector = vector_width(kVector<T>, args.dy.columns(), {args.x, args.dy, args.dx});
    launcher_.launch(plan_stretches(args.dy.rows(), args.dy.columns(), vector, launcher_.shape()), vector,
                     ActivationBackwardArgs<T, D>{.activation = args.activation,
                                                  .gated = is_gated(args.activation),
                                                  .x = args.x.as<T>(),
                                                  .x_stride = args.x.row_stride,
                                                  .dy = args.dy.as<D>(),
                                                  .dy_stride = args.dy.row_stride,
                                                  .rows = args.dy.rows(),
                                                  .columns = args.dy.columns(),
                                                  .dx = args.dx.as<T>(),
                                                  .dx_stride = args.dx.row_stride});
  }

  KernelLauncher& launcher_;
};

}  // namespace

std::unique_ptr<ElementwiseOps> make_elementwise(KernelLauncher& launcher) {
  return std::make_unique<Elementwise>(launcher);
}

}  // namespace megalith::cuda
