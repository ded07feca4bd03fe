// The CUDA device where there is a toolkit: finding a GPU, and the operations on it.
#include "device/cuda/gpu/gpu_launcher.h"
#include "device/cuda/operations.h"

namespace megalith::cuda {
namespace {

std::string version_text(int version) {
  return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
}

std::string device_text(const cudaDeviceProp& properties) {
  constexpr double kGiB = 1 << 30;
  return fmt::format("{}, {}.{}, {} multiprocessors, {:.1f} GiB", properties.name, properties.major,
                     properties.minor, properties.multiProcessorCount,
                     static_cast<double>(properties.totalGlobalMem) / kGiB);
}

// Why device 0 cannot compute, or nothing: the first kernel would say so otherwise, in the middle of a run.
std::string why_not_usable(int device) {
  cudaError_t error = cudaSetDevice(device);
  cudaFuncAttributes attributes{};
  if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, probe_kernel());
  if (error == cudaSuccess) return "";
  cudaGetLastError();
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    return fmt::format("this build has no kernels for it (made for {}; cmake -DMEGALITH_CUDA_ARCHITECTURES)",
                       MEGALITH_CUDA_ARCHITECTURES);
  }
  return fmt::format("{}, {}", cudaGetErrorName(error), cudaGetErrorString(error));
}

class GpuDevice final : public CudaDevice {
 public:
  GpuDevice(const Options& options, const cudaDeviceProp& properties)
      : description_(device_text(properties)),
        launcher_(compute_, {.multiprocessors = properties.multiProcessorCount,
                             .shared_bytes = properties.sharedMemPerBlockOptin}),
        matmul_(make_matmul(launcher_, options.products)),
        attention_(make_absent_attention()),
        elementwise_(make_elementwise(launcher_)),
        loss_(make_absent_loss()),
        optimizer_(make_optimizer(launcher_)),
        shards_(make_absent_shards()) {}

  MatmulOps& matmul() override { return *matmul_; }
  AttentionOps& attention() override { return *attention_; }
  ElementwiseOps& elementwise() override { return *elementwise_; }
  LossOps& loss() override { return *loss_; }
  OptimizerOps& optimizer() override { return *optimizer_; }
  ShardOps& shards() override { return *shards_; }
  ArenaMemory& memory() override { return memory_; }
  [[nodiscard]] std::string description() const override { return description_; }
  [[nodiscard]] int num_threads() const override { return 1; }
  double peak_flops(DType) override { return 0; }  // bench/gpu.sh measures it

  Stream& compute_stream() override { return compute_; }
  Stream& copy_stream() override { return copy_; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<GpuEvent>(); }
  double seconds_between(const Event& start, const Event& stop) override {
    const cudaEvent_t first = static_cast<const GpuEvent&>(start).handle();
    const cudaEvent_t last = static_cast<const GpuEvent&>(stop).handle();
    check(cudaEventSynchronize(first), "waiting for an event");
    check(cudaEventSynchronize(last), "waiting for an event");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, first, last), "timing");
    return static_cast<double>(milliseconds) * 1e-3;
  }
  void upload(void* device, const void* host, std::size_t bytes, Stream& stream) override {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, handle_of(stream)), "upload");
  }
  void download(void* host, const void* device, std::size_t bytes, Stream& stream) override {
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, handle_of(stream)), "download");
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream& stream) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle_of(stream)), "copy");
  }
  void synchronize() override {
    copy_.synchronize();
    launcher_.synchronize();
  }
  [[nodiscard]] const AlgorithmTable& algorithms() const override { return matmul_->algorithms(); }

 private:
  static cudaStream_t handle_of(Stream& stream) { return static_cast<GpuStream&>(stream).handle(); }

  std::string description_;
  GpuMemory memory_;
  GpuStream compute_;
  GpuStream copy_;
  GpuLauncher launcher_;
  std::unique_ptr<CudaMatmul> matmul_;
  std::unique_ptr<AttentionOps> attention_;
  std::unique_ptr<ElementwiseOps> elementwise_;
  std::unique_ptr<LossOps> loss_;
  std::unique_ptr<OptimizerOps> optimizer_;
  std::unique_ptr<ShardOps> shards_;
};

}  // namespace

Availability availability() {
  Availability result;
  result.compiled = true;
  result.toolkit =
      fmt::format("{}, kernels for {}", version_text(CUDART_VERSION), MEGALITH_CUDA_ARCHITECTURES);
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver != 0) result.driver = version_text(driver);
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    cudaGetLastError();
    result.why_not = result.driver.empty() ? "no NVIDIA driver"
                     : error == cudaSuccess
                         ? "no GPU"
                         : fmt::format("{}, {}", cudaGetErrorName(error), cudaGetErrorString(error));
    return result;
  }
  for (int device = 0; device < devices; ++device) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
      result.devices.push_back(device_text(properties));
  }
  result.why_not = why_not_usable(0);
  if (result.why_not.empty()) {
    std::string why;
    const std::unique_ptr<CublasLt> library = CublasLt::load(&why);
    result.library = library == nullptr ? why + "; own kernels take its place" : library->version();
  }
  return result;
}

Expected<std::unique_ptr<CudaDevice>> make_device(const Options& options) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    cudaGetLastError();
    return refuse(
        {.where = "device", .found = "cuda", .allowed = "cpu: " + availability().why_not, .nearest = "cpu"});
  }
  if (options.device < 0 || options.device >= devices) {
    return refuse({.where = "device",
                   .found = fmt::format("cuda:{}", options.device),
                   .allowed = fmt::format("cuda:0 to cuda:{}", devices - 1),
                   .nearest = "cuda:0"});
  }
  const std::string why_not = why_not_usable(options.device);
  if (!why_not.empty()) {
    return refuse({.where = "device",
                   .found = fmt::format("cuda:{}", options.device),
                   .allowed = "cpu: " + why_not,
                   .nearest = "cpu"});
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, options.device), "asking for a device's properties");
  return std::make_unique<GpuDevice>(options, properties);
}

}  // namespace megalith::cuda
