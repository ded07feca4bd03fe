#include "device/cuda/gpu/gpu_launcher.h"

#include <cstring>

namespace megalith::cuda {

GpuLauncher::GpuLauncher(GpuStream& stream, const DeviceShape& shape) : stream_(stream), shape_(shape) {}

void GpuLauncher::launch(const LaunchPlan& plan, const NormForwardArgs<float>& args) {
  call_norm_forward(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const NormForwardArgs<bf16>& args) {
  call_norm_forward(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const NormBackwardArgs<float>& args) {
  call_norm_backward(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const NormBackwardArgs<bf16>& args) {
  call_norm_backward(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const NormGradientArgs<float>& args) {
  call_norm_gradients(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const NormGradientArgs<bf16>& args) {
  call_norm_gradients(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector, const ActivationForwardArgs<float>& args) {
  call_activation_forward(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector, const ActivationForwardArgs<bf16>& args) {
  call_activation_forward(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector,
                         const ActivationBackwardArgs<float, float>& args) {
  call_activation_backward(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector, const ActivationBackwardArgs<bf16, bf16>& args) {
  call_activation_backward(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector,
                         const ActivationBackwardArgs<bf16, float>& args) {
  call_activation_backward(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector, const AdamArgs<float>& args) {
  call_adam(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector, const AdamArgs<bf16>& args) {
  call_adam(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, int vector, const CastArgs& args) {
  call_cast(plan, vector, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const SquaresArgs& args) {
  call_squares(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const DigestArgs& args) {
  call_digest(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const FiniteArgs<float>& args) {
  call_finite(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const FiniteArgs<bf16>& args) {
  call_finite(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const BiasGradientArgs<float>& args) {
  call_bias_gradient(plan, args, stream_.handle());
}
void GpuLauncher::launch(const LaunchPlan& plan, const BiasGradientArgs<bf16>& args) {
  call_bias_gradient(plan, args, stream_.handle());
}
void GpuLauncher::multiply_fma(const ProductLaunch& how, const ProductArgs<float>& args) {
  call_fma_product(how, args, stream_.handle());
}
void GpuLauncher::multiply_fma(const ProductLaunch& how, const ProductArgs<bf16>& args) {
  call_fma_product(how, args, stream_.handle());
}
void GpuLauncher::multiply_tensor_cores(const ProductLaunch& how, const ProductArgs<bf16>& args) {
  call_tensor_core_product(how, args, stream_.handle());
}

CublasLt* GpuLauncher::library() {
  if (!library_was_looked_for_) {
    library_was_looked_for_ = true;
    std::string why;
    library_ = CublasLt::load(&why);
  }
  return library_.get();
}

namespace {

// Numbers between 1 and 2 of either sign, with every bit of a bf16 in use; sums of them round at every step.
std::vector<bf16> check_numbers(std::int64_t count, std::uint64_t seed) {
  std::vector<bf16> numbers(static_cast<std::size_t>(count));
  std::uint64_t state = seed;
  for (bf16& number : numbers) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    number.bits = static_cast<std::uint16_t>(0x3f80u | (state >> 57) | (state >> 25 & 0x8000u));
  }
  return numbers;
}

Tensor matrix(Arena& arena, DType dtype, std::int64_t rows, std::int64_t columns) {
  return arena.allocate(dtype, {rows, columns});
}

std::size_t bytes_of(DType dtype, std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(rows * columns) * size_of(dtype) + 64;
}

}  // namespace

// A product of kRowsOfCheck rows per candidate, then of its pieces: the same rows must have the same bits.
std::optional<int> GpuLauncher::find_candidate(const ProductKey& key) {
  if (library() == nullptr) return std::nullopt;
  const bool forward = key.form == ProductForm::forward;
  const std::int64_t summed = forward ? key.inputs : key.outputs;
  const std::int64_t columns = forward ? key.outputs : key.inputs;
  Arena arena("check of cuBLASLt",
              bytes_of(key.operands, kRowsOfCheck, summed) + bytes_of(key.operands, key.outputs, key.inputs) +
                  2 * bytes_of(key.result, kRowsOfCheck, columns),
              memory_);
  const Tensor rows = matrix(arena, key.operands, kRowsOfCheck, summed);
  const Tensor weight = matrix(arena, key.operands, key.outputs, key.inputs);
  const Tensor whole = matrix(arena, key.result, kRowsOfCheck, columns);
  const Tensor part = matrix(arena, key.result, kRowsOfCheck, columns);
  for (const Tensor& operand : {rows, weight}) {
    const std::vector<bf16> numbers = check_numbers(operand.count(), operand.data == rows.data ? 1 : 2);
    check(cudaMemcpyAsync(operand.data, numbers.data(), numbers.size() * sizeof(bf16), cudaMemcpyHostToDevice,
                          stream_.handle()),
          "uploading a check's operand");
    stream_.synchronize();
  }
  int multiplied = -1;  // the candidate that `whole` comes from
  const auto equal_rows = [&](int candidate, const RowPiece& piece) {
    if (multiplied != candidate) {
      if (!library_->multiply(key, candidate, {key.form, rows, weight, whole}, stream_.handle()))
        return false;
      multiplied = candidate;
    }
    const LibraryProduct product{key.form, rows.row_slice(piece.first, piece.rows), weight,
                                 part.row_slice(0, piece.rows)};
    if (!library_->multiply(key, candidate, product, stream_.handle())) return false;
    const std::size_t bytes = static_cast<std::size_t>(piece.rows * columns) * size_of(key.result);
    std::vector<std::byte> alone(bytes);
    std::vector<std::byte> within(bytes);
    check(cudaMemcpyAsync(alone.data(), part.data, bytes, cudaMemcpyDeviceToHost, stream_.handle()),
          "downloading a check's rows");
    check(cudaMemcpyAsync(within.data(), whole.row_slice(piece.first, piece.rows).data, bytes,
                          cudaMemcpyDeviceToHost, stream_.handle()),
          "downloading a check's rows");
    stream_.synchronize();
    return std::memcmp(alone.data(), within.data(), bytes) == 0;
  };
  const std::optional<int> found = first_with_equal_rows(library_->candidates(key), equal_rows);
  stream_.synchronize();  // before the operands' memory goes
  return found;
}

std::optional<int> GpuLauncher::first_candidate(const ProductKey& key) {
  if (library() == nullptr || library_->candidates(key) == 0) return std::nullopt;
  return 0;
}

void GpuLauncher::multiply_library(const ProductKey& key, int candidate, const LibraryProduct& product) {
  if (!library_->multiply(key, candidate, product, stream_.handle())) {
    throw WorldFailed(
        fmt::format("cuBLASLt's algorithm for {} refuses {} rows", describe(key), product.rows.rows()));
  }
}

void GpuLauncher::zero(void* memory, std::size_t bytes) {
  check(cudaMemsetAsync(memory, 0, bytes, stream_.handle()), "zero");
}
void GpuLauncher::copy(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.handle()), "copy");
}

std::uint32_t* GpuLauncher::flag_of(Verdict* verdict) {
  return board_.word_of(verdict, [this] { stream_.synchronize(); });
}
std::uint64_t* GpuLauncher::clear_words() {
  zero(words_, kWords * sizeof(std::uint64_t));
  return words_;
}
std::array<std::uint64_t, KernelLauncher::kWords> GpuLauncher::fetch_words() {
  std::array<std::uint64_t, kWords> words{};
  check(cudaMemcpyAsync(words.data(), words_, sizeof(words), cudaMemcpyDeviceToHost, stream_.handle()),
        "fetching a sum");
  synchronize();
  return words;
}

void GpuLauncher::synchronize() {
  stream_.synchronize();
  board_.settle();
}

}  // namespace megalith::cuda
