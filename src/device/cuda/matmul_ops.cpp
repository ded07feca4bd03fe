// Products: which algorithm and tiles, and the kernels' arguments.
#include "core/fixed_point.h"
#include "device/cuda/coverage.h"
#include "device/cuda/operations.h"

namespace megalith::cuda {
namespace {

bool rows_are_aligned(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data) % 16 == 0 &&
         static_cast<std::size_t>(tensor.row_stride) * size_of(tensor.dtype) % 16 == 0;
}

// y[rows, columns] with what its chains run over, in either of the two row-wise forms.
struct RowProduct {
  ProductForm form;
  Tensor a;  // [rows, summed]
  Tensor w;  // [N, K]
  Tensor bias;
  Tensor y;
  SumOrder order;
};

class Matmul final : public CudaMatmul {
 public:
  Matmul(KernelLauncher& launcher, ProductMode mode)
      : launcher_(launcher), table_(mode, [&launcher, mode](const ProductKey& key) {
          return mode == ProductMode::unchecked ? launcher.first_candidate(key)
                                                : launcher.find_candidate(key);
        }) {}

  void forward(const ForwardProduct& args) override {
    MEGALITH_CHECK(args.x.columns() == args.w.columns() && args.y.columns() == args.w.rows() &&
                       args.y.rows() == args.x.rows() && args.x.dtype == args.w.dtype,
                   "{} x {} -> {}", describe(args.x), describe(args.w), describe(args.y));
    MEGALITH_CHECK(args.packed == nullptr, "a packed weight, which this device did not make");
    run({ProductForm::forward, args.x, args.w, args.bias, args.y, args.order});
  }

  void input_gradient(const InputGradientProduct& args) override {
    MEGALITH_CHECK(args.dy.columns() == args.w.rows() && args.dx.columns() == args.w.columns() &&
                       args.dx.rows() == args.dy.rows() && args.dy.dtype == args.w.dtype,
                   "{} x {} -> {}", describe(args.dy), describe(args.w), describe(args.dx));
    run({ProductForm::input_gradient, args.dy, args.w, {}, args.dx, args.order});
  }

  void weight_gradient(const WeightGradientProduct& args) override {
    if (args.dw.dtype != DType::i64) throw_not_on_cuda("gradients in f32");
    MEGALITH_CHECK(args.dy.rows() == args.x.rows() && args.dw.rows() == args.dy.columns() &&
                       args.dw.columns() == args.x.columns() && args.dy.dtype == args.x.dtype,
                   "{}, {} -> {}", describe(args.dy), describe(args.x), describe(args.dw));
    MEGALITH_CHECK(args.grain > 0 && args.dy.rows() % args.grain == 0 &&
                       (args.grain % 2 == 0 || args.dy.dtype == DType::f32),
                   "{} tokens in grains of {}", args.dy.rows(), args.grain);
    if (args.dw.count() == 0 || args.dy.rows() == 0) return;
    with_float_type(args.dy.dtype, [&]<class T>(T) { weight_gradient_typed<T>(args); });
  }

  void bias_gradient(const BiasGradient& args) override {
    if (args.dy.count() == 0) return;
    with_float_type(args.dy.dtype, [&]<class T>(T) {
      launcher_.launch(plan_bias_gradient(args.dy.rows(), args.dy.columns(), launcher_.shape()),
                       BiasGradientArgs<T>{.dy = args.dy.as<T>(),
                                           .stride = args.dy.row_stride,
                                           .rows = args.dy.rows(),
                                           .columns = args.dy.columns(),
                                           .scale = power_of_two(args.shift),
                                           .db = args.db.as<std::int64_t>(),
                                           .bad = launcher_.flag_of(args.verdict)});
    });
  }

  // 0 stands for the same bits without packing, which another format cannot have.
  std::size_t packed_bytes(const Tensor& w, const SumOrder& order, WeightFormat format) override {
    if (format != WeightFormat::as_stored) throw_not_on_cuda("int8 weights");
    return CudaMatmul::packed_bytes(w, order, format);
  }
  void pack(const WeightPacking&) override { throw_not_on_cuda("weight packing"); }
  void unpack(const WeightRows&) override { throw_not_on_cuda("packed weight rows"); }

  [[nodiscard]] const AlgorithmTable& algorithms() const override { return table_; }

 private:
  void run(const RowProduct& product) {
    if (product.y.count() == 0) return;
    const ProductKey key{
        .form = product.form,
        .operands = product.a.dtype,
        .result = product.y.dtype,
        .outputs = product.w.rows(),
        .inputs = product.w.columns(),
        .leaves = product.order.leaves,
        .bias = !product.bias.empty(),
        .aligned = rows_are_aligned(product.a) && rows_are_aligned(product.w) && rows_are_aligned(product.y)};
    const ProductChoice choice = table_.choose(key);
    if (choice.algorithm == ProductAlgorithm::library) {
      launcher_.multiply_library(key, choice.candidate, {product.form, product.a, product.w, product.y});
      return;
    }
    with_float_type(product.a.dtype, [&]<class T>(T) { run_typed<T>(product, choice.algorithm); });
  }

  template <class T>
  void run_typed(const RowProduct& product, ProductAlgorithm algorithm) {
    MEGALITH_CHECK(product.y.dtype == DType::f32 || product.y.dtype == product.a.dtype, "{} of {}",
                   describe(product.y), describe(product.a));
    ProductArgs<T> args{};
    args.a = {product.a.as<T>(), product.a.row_stride, product.y.rows()};
    args.b = {product.w.as<T>(), product.w.row_stride, product.y.columns()};
    args.chain = chain_of_leaves(product.order, product.a.columns());
    args.bias = product.bias.empty() ? nullptr : product.bias.as<float>();
    if (product.y.dtype == DType::f32) {
      args.y_f32 = product.y.as<float>();
    } else {
      args.y = product.y.as<T>();
    }
    args.y_stride = product.y.row_stride;
    launch(product.form, algorithm, args);
  }

  template <class T>
  void weight_gradient_typed(const WeightGradientProduct& args) {
    ProductArgs<T> kernel{};
    kernel.a = {args.dy.as<T>(), args.dy.row_stride, args.dw.rows()};
    kernel.b = {args.x.as<T>(), args.x.row_stride, args.dw.columns()};
    kernel.chain = chain_of_grains(args.dy.rows(), args.grain);
    kernel.sums = args.dw.as<std::int64_t>();
    kernel.sums_stride = args.dw.row_stride;
    kernel.scale = power_of_two(args.shift);
    kernel.limit = contribution_limit_bits(args.grain);
    kernel.bad = launcher_.flag_of(args.verdict);
    const ProductChoice choice = table_.choose({.form = ProductForm::weight_gradient,
                                                .operands = args.dy.dtype,
                                                .result = DType::i64,
                                                .outputs = args.dw.rows(),
                                                .inputs = args.dw.columns()});
    launch(ProductForm::weight_gradient, choice.algorithm, kernel);
  }

  template <class T>
  void launch(ProductForm form, ProductAlgorithm algorithm, ProductArgs<T>& args) {
    const std::int64_t rows = args.a.extent;
    const std::int64_t columns = args.b.extent;
    const DeviceShape device = launcher_.shape();
    const bool gradient = form == ProductForm::weight_gradient;
    const int leaves = gradient ? 1 : static_cast<int>(args.chain.segments);
    const bool tensor_cores = algorithm == ProductAlgorithm::tensor_cores;
    const TensorCoreTiling tiling = choose_tiling(form, rows, columns, leaves, device);
    const ProductLaunch how{.form = form,
                            .plan = plan_product(form, rows, columns, args.chain.segments,
                                                 tensor_cores ? shape_of(tiling) : kFmaTile, device),
                            .levels = tree_levels(leaves),
                            .tiling = tiling};
    args.row_tiles = how.plan.row_tiles;
    args.segments_per_block = how.plan.segments_per_share;
    if constexpr (sizeof(T) == 2) {
      if (tensor_cores) return launcher_.multiply_tensor_cores(how, args);
    }
    MEGALITH_CHECK(!tensor_cores, "tensor cores multiply bf16 only");
    launcher_.multiply_fma(how, args);
  }

  KernelLauncher& launcher_;
  AlgorithmTable table_;
};

}  // namespace

std::unique_ptr<CudaMatmul> make_matmul(KernelLauncher& launcher, ProductMode mode) {
  return std::make_unique<Matmul>(launcher, mode);
}

}  // namespace megalith::cuda
