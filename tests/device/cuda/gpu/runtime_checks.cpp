// What only a GPU has: its memory, streams and events. The checks make devices of their own.
#include "device/cuda/coverage.h"
#include "device/cuda/gpu/gpu_checked_device.h"

namespace megalith::test {
namespace {

void arenas_are_zeroed_and_one_too_large_is_refused_by_name(CheckedDevice&, Findings& findings) {
  const auto device = value_or_throw(cuda::make_device());
  std::vector<std::byte> host(1 << 20, std::byte{1});
  for (int round = 0; round < 3; ++round) {  // memory that comes again was written to
    Arena arena("zeroed", host.size(), device->memory());
    const Tensor bytes = arena.allocate(DType::u8, {1 << 20});
    device->download(host.data(), bytes.data, host.size(), device->compute_stream());
    device->synchronize();
    findings.expect(host == std::vector<std::byte>(host.size()), "an arena is not zero");
    std::fill(host.begin(), host.end(), std::byte{7});
    device->upload(bytes.data, host.data(), host.size(), device->compute_stream());
    device->synchronize();
  }
  try {
    const Arena arena("far too large", std::size_t{1} << 50, device->memory());
    findings.expect(false, "a pebibyte was had");
  } catch (const WorldFailed& error) {
    findings.expect(std::string(error.what()).find("far too large") != std::string::npos, error.what());
  }
}

// The second stream must not read before the first has written.
void an_event_orders_two_streams(CheckedDevice&, Findings& findings) {
  const auto device = value_or_throw(cuda::make_device());
  constexpr std::int64_t kCount = 1 << 26;
  Arena arena("ordered", static_cast<std::size_t>(3 * kCount * 4 + 256), device->memory());
  const Tensor from = arena.allocate(DType::f32, {kCount});
  const Tensor to = arena.allocate(DType::f32, {kCount});
  std::vector<float> ones(static_cast<std::size_t>(kCount), 1.0f);
  std::vector<float> got(static_cast<std::size_t>(kCount), 0.0f);
  device->upload(from.data, ones.data(), ones.size() * 4, device->compute_stream());
  device->synchronize();
  const auto written = device->make_event();
  for (int i = 0; i < 20; ++i) device->copy(to.data, from.data, ones.size() * 4, device->compute_stream());
  device->compute_stream().record(*written);
  device->copy_stream().wait_for(*written);
  device->download(got.data(), to.data, got.size() * 4, device->copy_stream());
  device->copy_stream().synchronize();
  findings.expect(got == ones, "a copy overtook the work before its event");
}

void missing_operations_throw_their_names(CheckedDevice&, Findings& findings) {
  const auto device = value_or_throw(cuda::make_device());
  try {
    device->attention().forward(AttentionForward{});
    findings.expect(false, "attention forward did not throw");
  } catch (const cuda::NotOnCuda& error) {
    findings.expect(std::string(error.what()).find("attention forward") != std::string::npos, error.what());
  }
}

constexpr KernelCheck kChecks[] = {
    {"arenas are zeroed, and one too large is refused by name",
     arenas_are_zeroed_and_one_too_large_is_refused_by_name},
    {"an event orders two streams", an_event_orders_two_streams},
    {"missing operations throw their names", missing_operations_throw_their_names},
};

}  // namespace

std::span<const KernelCheck> runtime_checks() {
  return kChecks;
}

}  // namespace megalith::test
