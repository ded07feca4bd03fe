// CUDA's runtime behind our own words: errors with names, memory, streams, events.
#pragma once

#include <cuda_runtime_api.h>

#include "core/arena.h"
#include "device/cuda/cuda_device.h"

namespace megalith::cuda {

// Throws WorldFailed "CUDA, norm forward: cudaErrorInvalidValue, invalid argument".
void check(cudaError_t error, const char* what);
void check_plan(const LaunchPlan& plan, int most_threads, const char* what);

class GpuEvent final : public Event {
 public:
  GpuEvent();
  ~GpuEvent() override;
  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;
  [[nodiscard]] cudaEvent_t handle() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class GpuStream final : public Stream {
 public:
  GpuStream();
  ~GpuStream() override;
  GpuStream(const GpuStream&) = delete;
  GpuStream& operator=(const GpuStream&) = delete;
  void record(Event& event) override;
  void wait_for(const Event& event) override;
  void synchronize() override;
  [[nodiscard]] cudaStream_t handle() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// One allocation per arena.
class GpuMemory final : public ArenaMemory {
 public:
  std::byte* reserve(const std::string& arena, std::size_t bytes) override;
  void give_back(std::byte* memory, std::size_t bytes) noexcept override;
};

// Zeroed memory of the host that kernels write to.
class MappedMemory {
 public:
  explicit MappedMemory(std::size_t bytes);
  ~MappedMemory();
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;
  [[nodiscard]] void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

}  // namespace megalith::cuda
