#include "device/cuda/gpu/runtime.h"

#include <cstring>

namespace megalith::cuda {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // the next call starts clean
  throw WorldFailed(
      fmt::format("CUDA, {}: {}, {}", what, cudaGetErrorName(error), cudaGetErrorString(error)));
}

void check_plan(const LaunchPlan& plan, int most_threads, const char* what) {
  MEGALITH_CHECK(
      plan.threads >= 1 && plan.threads <= most_threads && plan.blocks_x >= 1 &&
          plan.blocks_x <= kMostBlocksAlongX && plan.blocks_y >= 1 && plan.blocks_y <= kMostBlocksAlongY &&
          plan.blocks_z >= 1 && plan.blocks_z <= kMostBlocksAlongY,
      "{}: {} x {} x {} blocks of {}", what, plan.blocks_x, plan.blocks_y, plan.blocks_z, plan.threads);
}

GpuEvent::GpuEvent() {
  check(cudaEventCreate(&event_), "making an event");
}
GpuEvent::~GpuEvent() {
  cudaEventDestroy(event_);
}

GpuStream::GpuStream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}
GpuStream::~GpuStream() {
  cudaStreamDestroy(stream_);
}
void GpuStream::record(Event& event) {
  check(cudaEventRecord(static_cast<GpuEvent&>(event).handle(), stream_), "recording an event");
}
void GpuStream::wait_for(const Event& event) {
  check(cudaStreamWaitEvent(stream_, static_cast<const GpuEvent&>(event).handle(), 0),
        "waiting for an event");
}
void GpuStream::synchronize() {
  check(cudaStreamSynchronize(stream_), "waiting for a stream");
}

std::byte* GpuMemory::reserve(const std::string& arena, std::size_t bytes) {
  constexpr double kMiB = 1 << 20;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t available = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&available, &total), "asking for free memory");
    throw WorldFailed(fmt::format(
        "out of GPU memory: arena '{}' needs {:.1f} MiB, {:.1f} of {:.1f} MiB are free. Try a smaller "
        "batch.micro or model.",
        arena, static_cast<double>(bytes) / kMiB, static_cast<double>(available) / kMiB,
        static_cast<double>(total) / kMiB));
  }
  check(error, "reserving an arena");
  check(cudaMemset(memory, 0, bytes), "clearing an arena");
  // The streams do not wait for the stream that cleared it.
  check(cudaDeviceSynchronize(), "clearing an arena");
  return static_cast<std::byte*>(memory);
}
void GpuMemory::give_back(std::byte* memory, std::size_t) noexcept {
  cudaFree(memory);
}

MappedMemory::MappedMemory(std::size_t bytes) {
  check(cudaHostAlloc(&data_, bytes, cudaHostAllocMapped), "reserving memory that both sides see");
  std::memset(data_, 0, bytes);
}
MappedMemory::~MappedMemory() {
  cudaFreeHost(data_);
}

}  // namespace megalith::cuda
