// The CUDA device: the public face of this folder. Where no toolkit was found at configure time,
// cuda_absent.cpp stands behind it. No header of CUDA's is needed to use it, and no driver to start a program
// that does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "device/cuda/product_plan.h"
#include "device/device.h"

namespace megalith::cuda {

// What doctor says about CUDA.
struct Availability {
  bool compiled = false;             // with a toolkit
  std::string toolkit;               // "CUDA 13.0, kernels for 90a"
  std::string driver;                // "CUDA 13.0", or empty: no driver
  std::vector<std::string> devices;  // "NVIDIA H100 80GB HBM3, 9.0, 79.2 GiB"
  std::string library;               // "cuBLASLt 13.0.2", or why it is not there
  std::string why_not;               // empty when the first device can compute
};
Availability availability();

// A place in the order of a stream's work.
class Event {
 public:
  virtual ~Event() = default;
};

// Work in order; streams run beside each other.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void record(Event& event) = 0;
  // Work given to this stream from now on starts when the event is reached.
  virtual void wait_for(const Event& event) = 0;
  virtual void synchronize() = 0;
};

class CudaDevice : public Device {
 public:
  // Operations go to this stream.
  virtual Stream& compute_stream() = 0;
  // Copies that may run beside them.
  virtual Stream& copy_stream() = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  // Between two recorded events; waits for both.
  virtual double seconds_between(const Event& start, const Event& stop) = 0;

  // Between host and device memory, in the order of the stream. Host memory must live until the stream got
  // there.
  virtual void upload(void* device, const void* host, std::size_t bytes, Stream& stream) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes, Stream& stream) = 0;
  // Within device memory.
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;

  // Waits for everything and tells verdicts what kernels found. A verdict given to an operation must live
  // until here or until the next operation that returns a value.
  virtual void synchronize() = 0;

  [[nodiscard]] virtual const AlgorithmTable& algorithms() const = 0;
};

struct Options {
  int device = 0;
  ProductMode products = ProductMode::fast;
};

// Refused, with the reason, where there is no toolkit, driver or such device.
Expected<std::unique_ptr<CudaDevice>> make_device(const Options& options = {});

}  // namespace megalith::cuda
