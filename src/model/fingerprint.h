// What a machine's bits are called: the numerics profile and a digest of a small model's losses and
// gradients, computed by the device's own kernels. Equal fingerprints promise equal bits; it stands in every
// ledger line, and a resume under another one is told so.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/numerics_profile.h"
#include "device/device.h"

namespace megalith {

// A few milliseconds. Calls every operation a training step and a generation step use, in the profile's
// dtype. `layout`: what the bits of the mode fast depend on besides the profile; not read in exact.
std::uint64_t fingerprint(Device& device, const NumericsProfile& profile, std::string_view layout);

}  // namespace megalith
